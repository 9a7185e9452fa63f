/** What the visitor gets: the page, the way to the sign-in, or the reason why neither works. */
import { Suspense, use } from 'react';
import { Announcer } from '../ui/announcer';
import { strings } from '../ui/strings';
import { NoticePage } from './notice-page';
import { SignedIn } from './signed-in';
import { SigningIn } from './signing-in';
import type { Started } from './start';

export function App({ started }: { started: Promise<Started> }) {
  return (
    <Announcer>
      <Suspense fallback={<SigningIn />}>
        <Outcome started={started} />
      </Suspense>
    </Announcer>
  );
}

function Outcome({ started }: { started: Promise<Started> }) {
  const outcome = use(started);
  const text = strings.signIn;
  switch (outcome.kind) {
    case 'signed-in':
      return <SignedIn session={outcome.session} config={outcome.config} />;
    case 'signed-out':
      return (
        <NoticePage
          title={text.signedOutTitle}
          detail={text.signedOutDetail}
          action={text.start}
          onAction={outcome.signIn}
        />
      );
    case 'failed':
      return (
        <NoticePage
          title={text.failedTitle}
          detail={text.failedDetail}
          reference={outcome.reference}
          action={text.again}
          onAction={outcome.signIn}
        />
      );
    case 'unreachable':
      return (
        <NoticePage
          title={text.unreachableTitle}
          detail={text.unreachableDetail}
          action={strings.retry}
          onAction={() => window.location.reload()}
        />
      );
  }
}
