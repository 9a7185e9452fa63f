/** The script of auth.html. The sign-in service sends the browser back there, and MSAL passes the answer on. */
import { broadcastResponseToMainFrame } from '@azure/msal-browser/redirect-bridge';

broadcastResponseToMainFrame().catch(() => {
  // Somebody opened auth.html by hand, or MSAL can't read the answer. The main page decides what to do then. In a
  // hidden frame there is nothing to open: MSAL's own timeout ends the wait.
  if (window.top === window) window.location.replace('/');
});
