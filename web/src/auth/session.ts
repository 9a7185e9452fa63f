/** Who is signed in, as the page sees it. Only `msal-session` knows how it is done, and tests put their own in. */

export type Session = {
  account: { id: string; name: string; username: string };
  /** A valid access token; leaves the page for the sign-in (and never resolves) when there is no other way. */
  getToken: (options: { forceRefresh: boolean }) => Promise<string>;
  signInAgain: () => void;
  useAnotherAccount: () => void;
  signOut: () => void;
};

/** How the start of the page ended. */
export type SignIn =
  | { kind: 'signed-in'; session: Session }
  | { kind: 'signed-out'; signIn: () => void }
  /** `reference` is the sign-in service's own code, for an administrator. */
  | { kind: 'failed'; reference: string; signIn: () => void };
