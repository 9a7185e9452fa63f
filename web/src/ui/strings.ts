/** All texts of the page, except those from the server. At most 150, so that translating them takes an afternoon. */

const seconds = (count: number): string =>
  count < 60 ? `${count} s` : `${Math.floor(count / 60)} min ${count % 60 === 0 ? '' : `${count % 60} s`}`.trimEnd();

const range = (from: number, to: number): string =>
  from === to || to >= 60 ? seconds(from) : `${from}–${to} s`;

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const kilobytes = (bytes: number): string => `${Math.round(bytes / 1000)} kB`;

const arrived = (bytes: number, size: number): string => `${Math.round(bytes / 1000)} of ${kilobytes(size)}`;

const duration = (hours: number): string =>
  hours % 24 === 0 ? plural(hours / 24, 'day') : plural(hours, 'hour');

export const strings = {
  product: 'Onbrand',
  retry: 'Try again',
  close: 'Close',
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
    stuckDetail: 'Your sign-in has expired and could not be renewed. Sign in again. Nothing is lost.',
    signedOutTitle: "You're signed out",
    signedOutDetail: 'Your session was cleared from this browser.',
    unreachableTitle: "Onbrand can't be reached",
    unreachableDetail: 'Check your connection, then try again.',
    apiUnreachableDetail: (address: string) =>
      `The page is here, but its server at ${address} doesn't answer it. Try again in a minute.` +
      ' If that does not help, tell whoever runs Onbrand.',
    misconfiguredTitle: "This page isn't set up yet",
    misconfiguredDetail:
      "Its file config.json doesn't say where Onbrand's server is. Tell whoever runs Onbrand for you.",
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
    signed: (isApproved: boolean, day: string, by: string) => `${isApproved ? 'approved' : 'rejected'} ${day} by ${by}`,
    takenBack: (style: string, day: string, by: string) =>
      `${by} rejected ${style} on ${day}, so the style before it is used again.`,
    notReviewed: 'not reviewed',
    notReviewedWhy: 'No designer has approved this version of the style yet.',
  },

  refused: {
    who: (username: string) => `Signed in as ${username}`,
    askFor: 'To get access, send this text to the person who manages Onbrand:',
    request: (username: string, title: string, code: string) =>
      `Please give ${username} access to Onbrand. The page says: "${title}" (${code}).`,
    /** What the administrator does about it, added to the text to send. */
    remedies: {
      group_claim_missing: 'To do: add the groups claim to the app registration.',
      group_overage: 'To do: let the application emit only the groups assigned to it, or an app role.',
    } as Record<string, string>,
    copy: 'Copy request text',
    otherAccount: 'Use another account',
  },

  connection: {
    label: 'Connection',
    offline: "You're offline. Your generations continue. This page updates when you're back online.",
    unreachable: "Onbrand can't be reached. Your generations continue. This page updates when Onbrand answers again.",
    retry: 'Retry now',
  },

  composer: {
    label: 'Describe the illustration',
    placeholder: 'For example: a red backpack',
    generate: 'Generate',
    keys: 'Enter',
    count: (used: number, most: number) => `${used} / ${most}`,
    left: (count: number) => `${count} characters left`,
    over: 'The prompt is too long',
    examples: 'Start from an example',
    reason: {
      blank: 'Enter a description.',
      tooLong: (over: number) => `Shorten it by ${over} ${over === 1 ? 'character' : 'characters'}.`,
      invalid: 'Remove control characters and unusual accent characters.',
      offline: "You're offline. Your prompt is kept.",
      busy: 'Sending…',
    },
  },

  empty: {
    title: 'Four illustrations at a time',
    ready: 'Ready to draw',
    notReady: 'Starting up. Your request will wait.',
    usually: (typical: number, slow: number) => `drawing usually takes ${range(typical, slow)}`,
    detail: (hours: number) => `1024 × 1024 PNG, kept for ${duration(hours)}.`,
    drawnBefore: 'Drawn in this style before',
    drawn: (prompt: string) => `Drawn in this style: ${prompt}`,
  },

  budget: {
    name: 'Budget',
    low: "Most of this month's budget is spent. Please generate only what you need.",
    spent: (day: string) => `This month's budget is spent. You can generate again from ${day}.`,
  },

  limits: {
    before: (count: number, most: number | null) => {
      const limit = most === null ? '' : `, ${most === 1 ? 'one' : `up to ${most}`} in a picture`;
      return `This small model knows ${count} things${limit}.`;
    },
    unknown: "This small model hasn't learned what you describe. Its pictures will probably not show it.",
    tooMany: (most: number) =>
      `This small model draws ${most === 1 ? 'one thing' : `up to ${most} things`} in a picture.`,
    instead: 'Try instead:',
  },

  run: {
    list: 'Generations',
    sending: 'Sending…',
    notSent: 'Not sent yet',
    notSentWhy: 'Trying again. Your prompt is kept.',
    loading: 'Checking the status…',
    inLine: (place: number) => (place === 1 ? 'Next in line' : `${ordinal(place)} in line`),
    waiting: 'Waiting',
    startingGpu: 'Waiting for a machine',
    loadingModel: 'Loading the model',
    encoding: 'Reading your prompt',
    drawing: 'Drawing',
    step: (step: number, steps: number) => `step ${step} of ${steps}`,
    saving: 'Saving the pictures',
    left: (count: number) => `about ${seconds(count)}`,
    soFar: (count: number) => `${seconds(count)} so far`,
    almost: 'any moment now',
    lastKnown: (time: string) => `as of ${time}`,
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
    arriving: (shown: number, bytes: number, size: number | null) =>
      [`${shown} of 4 pictures`, size === null ? kilobytes(bytes) : arrived(bytes, size)].join(' · '),
    took: (ms: number) => `took ${seconds(Math.max(1, Math.round(ms / 1_000)))}`,
    waited: (ms: number) => `waited ${seconds(Math.round(ms / 1_000))}`,
    keptUntil: (date: string) => `kept until ${date}`,
    truncated: (ignored: string) =>
      ignored === ''
        ? 'The prompt is longer than the model can read. The end was left out.'
        : `The prompt is longer than the model can read. Left out: “${ignored}”`,
    promptKept: 'Your prompt is kept.',
    expired: (hours: number) => `Deleted after ${duration(hours)}`,
    missingTitle: "This generation can't be found",
    missingDetail: 'It may belong to another account, or the data was reset. Your prompt is kept.',
  },

  picture: {
    select: (n: number) => `Select illustration ${n}`,
    alt: (n: number, prompt: string) => `Illustration ${n} of 4: ${prompt}`,
    download: 'Download',
    copy: 'Copy',
    label: (action: string, n: number) => `${action} illustration ${n}`,
    loading: 'Loading…',
    failed: "This picture couldn't be loaded.",
    copyRefused: "The browser didn't allow copying. Download the picture, or right-click it and copy it.",
  },

  saving: {
    all: (selected: number) => (selected === 0 ? 'Download all' : `Download ${selected}`),
    progress: (index: number, total: number, bytes: number) =>
      `Saving ${index} of ${total} · ${(bytes / 1_000_000).toFixed(1)} MB`,
    lost: 'The connection was lost. Nothing on the page is lost. Try again.',
    noSpace: "There isn't enough space on this device. Free some space, then try again. The pictures stay here.",
    notThis: (n: number, detail: string) => `Illustration ${n}: ${detail} Select the others to download them.`,
  },

  lightbox: {
    previous: 'Previous',
    next: 'Next',
    position: (n: number) => `${n} of 4`,
    zoom: (isFullSize: boolean) => (isFullSize ? 'Fit' : '100 %'),
    seed: (seed: number) => `Seed ${seed}`,
    size: '1024 × 1024 PNG',
  },

  coldStart: {
    starting_gpu: 'Machine',
    loading_model: 'Brand style',
    drawing: 'Drawing',
    saved: 'your prompt is saved',
  },

  notifications: {
    offer: 'Notify me',
    on: "You'll be notified when it's done.",
    turnOff: 'Turn off',
    refused: "The browser doesn't allow notifications here. The title of this tab shows the progress.",
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
