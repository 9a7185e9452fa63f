/** What a signed-in person sees: the page, or the reason why they can't use it. */
import { QueryClientProvider, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useState } from 'react';
import { flushSync } from 'react-dom';
import { ApiContext, useApi } from '../api/api-context';
import { createApi } from '../api/client';
import { getMe } from '../api/get-me';
import type { Onbrand } from '../api/get-page-config';
import { ApiProblem, type Problem } from '../api/problem';
import type { Session } from '../auth/session';
import { prefetchRuns } from '../runs/prefetch-runs';
import { GeneratePage } from './generate-page';
import { strings } from '../ui/strings';
import { BudgetNotice } from './budget-notice';
import { ConnectionBanner } from './connection-banner';
import { Header } from './header';
import { NoticePage } from './notice-page';
import { createQueryClient } from './query-client';
import { RefusedPage } from './refused-page';
import { ReviewRoom } from './review-room';
import { SigningIn } from './signing-in';
import { SigningOut } from './signing-out';
import { StyleNotice } from './style-notice';
import { wantedReview } from './wanted-review';

/** How often to ask for the current style, whether a worker is ready, and how long drawing usually takes. */
const POLL_MS = 30_000;

type SignedInProps = { session: Session; onbrand: Onbrand };

export function SignedIn({ session, onbrand }: SignedInProps) {
  const [queryClient] = useState(createQueryClient);
  const [denied, setDenied] = useState<Problem | null>(null);
  const [isLeaving, setIsLeaving] = useState(false);
  const { origin, config } = onbrand;
  const api = useMemo(
    () => createApi(origin, { getToken: session.getToken, onDenied: setDenied }),
    [origin, session],
  );

  function signOut(): void {
    // Removes everything of the person before the browser leaves the page: "Back" must show nothing of it.
    flushSync(() => setIsLeaving(true));
    queryClient.clear();
    session.signOut();
  }

  if (isLeaving) return <SigningOut />;
  if (denied?.status === 403) return <RefusedPage session={session} refusal={denied} onSignOut={signOut} />;
  if (denied !== null) {
    return (
      <NoticePage
        title={denied.title}
        detail={denied.detail}
        reference={denied.requestId}
        action={strings.signIn.again}
        onAction={session.signInAgain}
      />
    );
  }
  return (
    <ApiContext value={api}>
      <QueryClientProvider client={queryClient}>
        <Member session={session} config={config} onSignOut={signOut} />
      </QueryClientProvider>
    </ApiContext>
  );
}

type MemberProps = { session: Session; config: Onbrand['config']; onSignOut: () => void };

function Member({ session, config, onSignOut }: MemberProps) {
  const api = useApi();
  const queryClient = useQueryClient();
  useEffect(() => prefetchRuns(api, queryClient, session.account.id), [api, queryClient, session]);
  const { data: me, error, refetch } = useQuery({
    queryKey: ['me'],
    queryFn: ({ signal }) => getMe(api, signal),
    staleTime: Infinity,
    refetchInterval: ({ state }) => (state.data?.may_generate === true ? POLL_MS : false),
  });
  if (me === undefined && error instanceof ApiProblem) {
    return (
      <NoticePage
        title={error.problem.title}
        detail={error.problem.detail}
        reference={error.problem.requestId}
        action={strings.retry}
        onAction={() => void refetch()}
      />
    );
  }
  if (me === undefined) {
    return (
      <>
        <ConnectionBanner />
        <SigningIn />
      </>
    );
  }
  if (me.refusal !== null) return <RefusedPage session={session} refusal={me.refusal} onSignOut={onSignOut} />;
  const review = wantedReview();
  return (
    <>
      <Header style={me.style} account={session.account} version={config.version} onSignOut={onSignOut} />
      <ConnectionBanner />
      <StyleNotice takenBack={me.taken_back} />
      <BudgetNotice budget={me.budget} />
      {review === null ? (
        <GeneratePage accountId={session.account.id} me={me} retentionHours={config.retention_hours} />
      ) : (
        <ReviewRoom reviewId={review} accountId={session.account.id} />
      )}
    </>
  );
}
