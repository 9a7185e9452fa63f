/** Who is signed in. `msal-session.ts` makes a Session with MSAL; tests make their own. */

/** What a tab remembers of a sign-out (`saveToTab`), so that the page doesn't leave for the sign-in at once. */
export const SIGNED_OUT = 'signed-out';

export type Session = {
  account: { id: string; name: string; username: string };
  /** Returns a valid access token. If only a sign-in helps, the browser leaves for it and the promise never settles. */
  getToken: (options: { forceRefresh: boolean }) => Promise<string>;
  signInAgain: () => void;
  useAnotherAccount: () => void;
  signOut: () => void;
};

/** The outcome of `signIn`. */
export type SignIn =
  | { kind: 'signed-in'; session: Session }
  | { kind: 'signed-out'; signIn: () => void }
  /** `reference` is the sign-in service's own code, for an administrator. */
  | { kind: 'failed'; reference: string; signIn: () => void };
