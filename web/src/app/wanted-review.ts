/** Which review the address names: `/?review=ID`. The sign-in comes back to the whole address. */

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function wantedReview(): string | null {
  const named = new URLSearchParams(window.location.search).get('review');
  return named !== null && ID.test(named) ? named : null;
}
