/** All texts of a review, except those from the server. They are loaded only by people who open one. */
import type { Answer, Reason } from '../api/get-review';

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

export const reviewStrings = {
  loading: 'Loading the review…',
  title: (name: string, version: string) => `Review of ${name} ${/^\d/.test(version) ? 'v' : ''}${version}`,
  documentTitle: 'Review · Onbrand',
  cardTitle: (n: number, count: number) => `${n} of ${count} · Review · Onbrand`,
  back: 'Back to Onbrand',

  intro: {
    lead: (count: number) => `You see ${count} pictures, one after the other. It takes about five minutes.`,
    rule: 'How it is decided',
    keys: 'Keys: 1, 2, 3 to answer, arrows to move, U to take back the last answer.',
    begin: 'Begin',
    goOn: (done: number, count: number) => `Go on (${done} of ${count} answered)`,
    kept: 'Your answers are kept in this browser until you send them.',
  },

  card: {
    position: (n: number, count: number) => `${n} of ${count}`,
    progress: 'Pictures answered',
    progressText: (done: number, count: number) => `${done} of ${count} answered`,
    askedFor: 'Asked for',
    alt: (n: number, count: number) => `Picture ${n} of ${count}`,
    loading: 'Loading…',
    failed: "This picture couldn't be loaded. You can answer once you see it.",
    question: 'Would the studio use it?',
    reasons: "What isn't right? (any number)",
    reasonsAsIs: 'Only if it does:',
    previous: 'Back',
    next: 'Next',
    undo: 'Undo',
    announce: (n: number, count: number, prompt: string) => `Picture ${n} of ${count}. Asked for: ${prompt}`,
    announceAnswer: (answer: string) => `Answered: ${answer}`,
    takenBack: (n: number) => `The answer to picture ${n} was taken back.`,
  },

  answers: { as_is: 'Use as is', small_fix: 'Small fix', no: 'No' } satisfies Record<Answer, string>,

  reasons: {
    colour: 'Colour',
    line: 'Line',
    shading: 'Shading',
    background: 'Background',
    composition: 'Composition',
    wrong_object: 'Wrong object',
    artefact: 'Artefact',
    copy: 'Copies an existing piece',
  } satisfies Record<Reason, string>,

  finish: {
    title: 'All pictures are answered',
    detail: 'Look once more if you like. Once sent, your answers stay, and you are told which picture was which.',
    send: 'Send my answers',
    sending: 'Sending…',
    failed: "Your answers couldn't be sent. They are kept. Try again.",
  },

  reveal: {
    outcome: { approved: 'Approved', rejected: 'Not approved', undecided: 'Nothing is decided' },
    by: (reviewer: string, date: string) => `Your verdict, ${reviewer}, ${date}. It is stored and stays.`,
    undecided: 'Your answers can’t be told from chance, so the style is neither approved nor rejected.',
    tookBack: 'This style was live. The style before it is live again, and everybody sees a notice.',
    next: 'To make it live, an operator runs this command:',
    copy: 'Copy command',
    interval: 'Usable pictures to expect',
    intervalText: (usable: number, samples: number, low: number, high: number) =>
      `${usable} of ${samples} usable. Of many more, between ${low} % and ${high} % would be.`,
    why: 'Why',
    changes: 'What to change',
    change: (count: number, reason: string) => `${plural(count, 'picture')}: ${reason}`,
    noChanges: 'You gave no reasons, so there is nothing to suggest.',
    groups: {
      pack: 'Drawn in this style',
      original: "The studio's own",
      base: 'Drawn without the style',
    },
    alt: (n: number, prompt: string) => `Picture ${n}: ${prompt}`,
    seed: (seed: number) => `Seed ${seed}`,
  },

  compare: {
    lead:
      'With each picture: the same request and seed without the style, and the two training pictures that are most' +
      ' like it. Press one to compare.',
    leadBaseOnly: 'With each picture: the same request and seed without the style. Press it to compare.',
    noTraining: 'No training pictures were kept with this review.',
    labels: { base: 'Without the style', nearest: 'Nearest training picture', next: 'Second nearest' },
    open: (label: string, n: number) => `${label}: compare picture ${n}`,
    flag: (isMirrored: boolean) =>
      `Very like a training picture${isMirrored ? ' seen in a mirror' : ''}. Is it a copy?`,
    alike: (isMirrored: boolean) => `Very alike${isMirrored ? ' in a mirror' : ''}. Is it a copy?`,
    title: (n: number, prompt: string) => `Picture ${n}: ${prompt}`,
    drawn: 'In this style',
    drawnAlt: (n: number) => `Picture ${n}, in this style`,
    same: 'The same request and seed',
    position: (at: number, count: number) => `${at} of ${count}`,
    failed: "This picture couldn't be loaded.",
    previous: 'Previous',
    next: 'Next',
    close: 'Close',
  },
} as const;
