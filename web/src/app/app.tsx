/** Shows the page, or a notice with a way to sign in, or the reason why neither works. */
import { useEffect, useState } from 'react';
import { Announcer } from '../ui/announcer';
import { strings } from '../ui/strings';
import { NoticePage } from './notice-page';
import { SignedIn } from './signed-in';
import { SigningIn } from './signing-in';
import type { Started } from './start';

/** Doesn't use Suspense: React keeps a fallback on the screen for 300 ms, and the page would wait for nothing. */
export function App({ started }: { started: Promise<Started> }) {
  const [outcome, setOutcome] = useState<Started | null>(null);
  useEffect(() => void started.then(setOutcome), [started]);
  return <Announcer>{outcome === null ? <SigningIn /> : <Outcome outcome={outcome} />}</Announcer>;
}

function Outcome({ outcome }: { outcome: Started }) {
  const text = strings.signIn;
  switch (outcome.kind) {
    case 'signed-in':
      return <SignedIn session={outcome.session} onbrand={outcome.onbrand} />;
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
          detail={outcome.api === null ? text.unreachableDetail : text.apiUnreachableDetail(outcome.api)}
          action={strings.retry}
          onAction={() => window.location.reload()}
        />
      );
    case 'misconfigured':
      return (
        <NoticePage
          title={text.misconfiguredTitle}
          detail={text.misconfiguredDetail}
          action={strings.retry}
          onAction={() => window.location.reload()}
        />
      );
  }
}
