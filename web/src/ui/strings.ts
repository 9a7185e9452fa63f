/** Every text of the page that isn't the server's own. At most 150, so that a translation stays an afternoon's work. */

const seconds = (count: number): string =>
  count < 60 ? `${count} s` : `${Math.floor(count / 60)} min ${count % 60 === 0 ? '' : `${count % 60} s`}`.trimEnd();

const range = (from: number, to: number): string =>
  from === to || to >= 60 ? seconds(from) : `${from}–${to} s`;

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const duration = (hours: number): string =>
  hours % 24 === 0 ? plural(hours / 24, 'day') : plural(hours, 'hour');

export const strings = {
  product: 'Onbrand',
  retry: 'Try again',
  copied: 'Copied',
  copyFailed: "The browser didn't allow copying. Select the text and copy it.",

  problem: {
    unknownTitle: 'Something went wrong',
    unknownDetail: "Onbrand answered in a way this page doesn't understand. Try again.",
    reference: (id: string) => `Reference ${id}`,
  },

  signIn: {
    busy: 'Signing you in…',
    promptKept: 'Your prompt is kept.',
    leaving: 'Signing you out…',
    again: 'Sign in again',
    start: 'Sign in',
    failedTitle: "The sign-in didn't finish",
    failedDetail: 'The sign-in service sent no usable answer. Nothing you typed is lost.',
    stuckTitle: "The sign-in can't be renewed",
    stuckDetail: 'Your sign-in ended and renewing it did not work. Sign in again; nothing is lost.',
    signedOutTitle: "You're signed out",
    signedOutDetail: 'Nothing of your session is left in this browser tab.',
    unreachableTitle: "Onbrand can't be reached",
    unreachableDetail: 'Check your connection, then try again.',
  },

  account: {
    menu: (name: string) => `Account: ${name}`,
    signOut: 'Sign out',
    version: (version: string) => `Onbrand ${version}`,
    theme: 'Appearance',
    themes: { system: 'System', light: 'Light', dark: 'Dark' },
  },

  style: {
    live: (name: string, version: string) => `${name} ${/^\d/.test(version) ? 'v' : ''}${version}`,
    approved: 'approved',
    notReviewed: 'not reviewed',
    notReviewedWhy: 'No designer has approved this version of the style yet.',
  },

  refused: {
    who: (username: string) => `Signed in as ${username}`,
    askFor: 'To get access, send this to whoever looks after Onbrand:',
    request: (username: string, title: string, code: string) =>
      `Please give ${username} access to Onbrand. The page says: "${title}" (${code}).`,
    copy: 'Copy request text',
    otherAccount: 'Use another account',
  },

  connection: {
    label: 'Connection',
    offline: "You're offline. Runs go on; we'll catch up.",
    unreachable: "Onbrand can't be reached just now. Runs go on; we'll catch up.",
    retry: 'Retry now',
  },

  composer: {
    label: 'Describe the illustration',
    placeholder: 'For example: a red backpack',
    generate: 'Generate',
    keys: (isMac: boolean) => (isMac ? '⌘ Enter' : 'Ctrl Enter'),
    count: (used: number, most: number) => `${used} / ${most}`,
    left: (count: number) => `${count} characters left`,
    over: 'The prompt is too long',
    examples: 'Start from an example',
    reason: {
      blank: 'Type what you need first.',
      tooLong: (over: number) => `Shorten it by ${over} ${over === 1 ? 'character' : 'characters'}.`,
      invalid: 'Remove control characters and stacked accents.',
      offline: "You're offline. Your prompt is kept.",
      busy: 'Sending…',
    },
  },

  empty: {
    title: 'Four illustrations at a time',
    ready: 'Ready to draw',
    notReady: 'Not ready yet; your run will wait for it',
    usually: (typical: number, slow: number) => `usually ${range(typical, slow)}`,
    detail: (hours: number) => `1024 × 1024 PNG, kept for ${duration(hours)}.`,
  },

  run: {
    list: 'Generations',
    sending: 'Sending…',
    notSent: 'Not sent yet',
    notSentWhy: 'Trying again; your prompt is kept.',
    loading: 'Looking it up…',
    inLine: (place: number) => (place === 1 ? 'Next in line' : `${ordinal(place)} in line`),
    waiting: 'Waiting',
    startingGpu: 'Waiting for the GPU',
    loadingModel: 'Loading the model',
    encoding: 'Reading your prompt',
    drawing: 'Drawing',
    step: (step: number, steps: number) => `step ${step} of ${steps}`,
    saving: 'Saving the pictures',
    left: (count: number) => `about ${seconds(count)}`,
    soFar: (count: number) => `${seconds(count)} so far`,
    almost: 'any moment now',
    longer: (count: number) => `longer than usual, ${seconds(count)} so far`,
    percent: (percent: number) => `${percent}\u202f%`,
    progress: 'Progress',
    cancel: 'Cancel',
    cancelling: 'Cancelling…',
    cancelFailed: "It couldn't be cancelled. Try again.",
    cancelled: 'Cancelled',
    generateMore: 'Generate More',
    generateAgain: 'Generate again',
    retryIn: (count: number) => `Try again in ${seconds(count)}`,
    copyPrompt: 'Copy prompt',
    editPrompt: 'Edit prompt',
    remove: 'Remove',
    took: (count: number) => `took ${seconds(count)}`,
    keptUntil: (date: string) => `kept until ${date}`,
    truncated: (unread: string) =>
      unread === ''
        ? 'The prompt is longer than the model reads: the end of it was left out.'
        : `The prompt is longer than the model reads. Left out: “${unread}”`,
    promptKept: 'Your prompt is kept.',
    expired: (hours: number) => `Deleted after ${duration(hours)}`,
    missingTitle: "This generation isn't here any more",
    missingDetail: 'It may belong to another account, or the data was reset. Your prompt is kept.',
  },

  picture: {
    tick: (n: number) => `Select illustration ${n}`,
    alt: (n: number, prompt: string) => `Illustration ${n} of 4: ${prompt}`,
    download: 'Download',
    copy: 'Copy',
    label: (action: string, n: number) => `${action} illustration ${n}`,
    loading: 'Loading…',
    failed: "This picture couldn't be loaded.",
    copyRefused: "The browser didn't allow copying. Download the picture, or right-click it and copy it.",
  },

  saving: {
    all: (ticked: number) => (ticked === 0 ? 'Download all' : `Download ${ticked}`),
    progress: (place: number, total: number, bytes: number) =>
      `Saving ${place} of ${total} · ${(bytes / 1_000_000).toFixed(1)} MB`,
    lost: 'The connection was lost. Nothing on the page is lost; try again.',
    noSpace: "There isn't enough space on this device. Make some room, then try again; the pictures stay here.",
    notThis: (n: number, detail: string) => `Illustration ${n}: ${detail} Tick the others to download those.`,
  },

  lightbox: {
    close: 'Close',
    previous: 'Previous',
    next: 'Next',
    place: (n: number) => `${n} of 4`,
    zoom: (isActual: boolean) => (isActual ? 'Fit' : '100 %'),
    seed: (seed: number) => `Seed ${seed}`,
    size: '1024 × 1024 PNG',
  },

  coldStart: {
    starting_gpu: 'The GPU',
    loading_model: 'The model with the style',
    drawing: 'Drawing',
    saved: 'your prompt is saved',
  },

  notices: {
    offer: "Tell me when it's done",
    on: "You'll get a notice when it's done.",
    turnOff: 'Turn off',
    refused: "The browser doesn't allow notices here. This tab's title shows the progress.",
  },

  question: {
    title: 'Was this useful?',
    useful: 'Useful',
    notYet: 'Not yet',
    thanks: 'Thank you',
    whatHelped: 'What worked? (optional)',
    whatIsMissing: 'What was missing? (optional)',
    send: 'Send',
    close: 'Close the question',
    failed: "It couldn't be sent. Try again.",
  },

  announce: {
    queued: 'Queued',
    started: 'Drawing started',
    percent: (percent: number) => `${percent} % done`,
    done: '4 illustrations ready',
    failed: (title: string) => `Failed: ${title}`,
  },

  title: {
    progress: (percent: number) => `(${percent} %) Onbrand`,
    waiting: '(…) Onbrand',
    ready: 'Ready · Onbrand',
    failed: 'Failed · Onbrand',
  },
} as const;

function ordinal(place: number): string {
  const tens = place % 100;
  const suffix = tens >= 11 && tens <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][place % 10] ?? 'th');
  return `${place}${suffix}`;
}
