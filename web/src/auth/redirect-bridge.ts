/** The script of auth.html, where the sign-in service sends the browser back to; MSAL passes the answer on. */
import { broadcastResponseToMainFrame } from '@azure/msal-browser/redirect-bridge';

broadcastResponseToMainFrame().catch(() => {
  // Opened by hand, or an answer MSAL can't read: the page itself decides what to do. In a hidden frame there is
  // nothing to go to; MSAL's time limit ends the wait.
  if (window.top === window) window.location.replace('/');
});
