/**
 * Which review the address names: `/?review=ID`. The sign-in comes back to the whole address.
 *
 * On a static host `/reviews/ID` names it, too. Where the API serves the page, that path is the API's.
 */

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function wantedReview(): string | null {
  const { pathname, search } = window.location;
  const named = new URLSearchParams(search).get('review') ?? pathname.replace(/^\/reviews\//, '');
  return ID.test(named) ? named : null;
}
