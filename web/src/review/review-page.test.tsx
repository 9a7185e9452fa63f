/** The review as a reviewer goes through it; the API is a stand-in. */
import { screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { beforeEach, expect, test } from 'vitest';
import type { Aside, CardAnswer, Review, Verdict } from '../api/get-review';
import { FakeOnbrand, MEMBER, problem } from '../test/fake-onbrand';
import { expectAnnounced, fakeSession, renderApp } from '../test/render-app';
import { server } from '../test/server';

const ID = '12345678-0000-4000-8000-000000000000';
const REVIEWS = 'http://localhost:8000/reviews';
const NUMBERS = Array.from({ length: 16 }, (_, index) => index + 1);

const REVIEW: Review = {
  id: ID,
  pack_id: 'ab'.repeat(32),
  pack_name: 'Harbour',
  pack_version: '3',
  opened_at: '2026-01-28T14:02:00Z',
  rule: ['At least 8 of 10 must be usable.'],
  samples: 10,
  cards: NUMBERS.map((n) => ({ n, prompt: `thing ${n}`, picture: `/reviews/${ID}/cards/${n}` })),
  verdict: null,
};

function asidesOf(picture: string): Aside[] {
  const usual = { source: null, is_flagged: false, is_mirrored: false };
  return [
    { ...usual, kind: 'base', picture: `${picture}/asides/1` },
    { ...usual, kind: 'training', picture: `${picture}/asides/2`, source: 'mug.png', is_flagged: true },
    { ...usual, kind: 'training', picture: `${picture}/asides/3`, source: 'lamp.png' },
  ];
}

function verdict(answers: CardAnswer[]): Verdict {
  return {
    outcome: 'rejected',
    reviewer: 'Ada',
    given_at: '2026-01-28T15:00:00Z',
    usable: 6,
    interval: { low: 0.31, high: 0.83 },
    why: ['6 of 10 are usable; 8 are needed.'],
    took_back: true,
    changes: [{ reason: 'shading', count: 2, advice: 'Add flat illustrations.' }],
    cards: REVIEW.cards.map((card, index) => ({
      ...card,
      kind: index < 10 ? 'pack' : index < 13 ? 'original' : 'base',
      seed: index < 10 ? 4100 + index : null,
      answer: answers[index]?.answer ?? 'no',
      reasons: answers[index]?.reasons ?? [],
      asides: index < 10 ? asides(card.picture) : [],
    })),
  };
}

let sent: CardAnswer[][];
let isPictureBroken = false;
let isAsideBroken = false;
let asidesAsked = 0;
let asides: (picture: string) => Aside[];
beforeEach(() => {
  const onbrand = new FakeOnbrand();
  onbrand.me = { ...MEMBER, may_review: true };
  sent = [];
  isPictureBroken = false;
  isAsideBroken = false;
  asidesAsked = 0;
  asides = asidesOf;
  window.history.replaceState(null, '', `/?review=${ID}`);
  server.use(
    http.get(`${REVIEWS}/${ID}`, () => {
      const last = sent.at(-1);
      return HttpResponse.json(last === undefined ? REVIEW : { ...REVIEW, verdict: verdict(last) });
    }),
    http.get(`${REVIEWS}/${ID}/cards/:n`, ({ params }) =>
      isPictureBroken
        ? problem(500, 'card_damaged', 'A picture of this review is damaged')
        : new HttpResponse(`picture ${String(params['n'])}`, { headers: { 'Content-Type': 'image/png' } }),
    ),
    http.get(`${REVIEWS}/${ID}/cards/:n/asides/:place`, ({ params, request }) => {
      asidesAsked += 1;
      if (isAsideBroken) return problem(500, 'aside_damaged', 'A picture for comparison is damaged');
      const isTile = new URL(request.url).searchParams.get('size') === '512';
      const bytes = `${isTile ? 'tile' : 'aside'} ${String(params['n'])}-${String(params['place'])}`;
      return new HttpResponse(bytes, { headers: { 'Content-Type': isTile ? 'image/webp' : 'image/png' } });
    }),
    http.put(`${REVIEWS}/${ID}/verdict`, async ({ request }) => {
      const { answers } = (await request.json()) as { answers: CardAnswer[] };
      sent.push(answers);
      return HttpResponse.json(verdict(answers));
    }),
  );
  return () => window.history.replaceState(null, '', '/');
});

async function begin() {
  const page = await renderApp();
  await page.user.click(await screen.findByRole('button', { name: 'Begin' }));
  await expectCard(1);
  return page;
}

async function expectCard(n: number): Promise<void> {
  expect(await screen.findByRole('heading', { name: `${n} of 16` })).toBeInTheDocument();
  expect(await screen.findByRole('img', { name: `Picture ${n} of 16` })).toBeInTheDocument();
}

async function answerAll({ user }: Awaited<ReturnType<typeof begin>>): Promise<void> {
  for (const n of NUMBERS) {
    await expectCard(n);
    await user.keyboard(n % 4 === 0 ? '3{ArrowRight}' : '1{ArrowRight}');
  }
  await screen.findByRole('heading', { name: 'All pictures are answered' });
}

test('the rule is read before any picture is asked for', async () => {
  await renderApp();
  expect(await screen.findByText('At least 8 of 10 must be usable.')).toBeInTheDocument();
  expect(screen.getByRole('heading', { name: 'Review of Harbour v3' })).toBeInTheDocument();
  expect(screen.queryByRole('img', { name: /Picture/ })).not.toBeInTheDocument();
});

test('sixteen cards are answered by keyboard, looked over, and sent once', async () => {
  const page = await begin();
  await expectAnnounced('Picture 1 of 16. Asked for: thing 1');
  expect(document.title).toBe('1 of 16 · Review · Onbrand');
  await answerAll(page);
  expect(sent).toEqual([]);
  await page.user.click(screen.getByRole('button', { name: /^4 No/ }));
  await expectCard(4);
  await page.user.keyboard('2');
  await page.user.click(screen.getByRole('button', { name: 'Shading' }));
  for (let n = 4; n <= 16; n += 1) await page.user.keyboard('{ArrowRight}');
  await page.user.dblClick(await screen.findByRole('button', { name: 'Send my answers' }));
  expect(await screen.findByRole('heading', { name: 'Not approved' })).toHaveFocus();
  expect(sent).toHaveLength(1);
  expect(sent[0]).toHaveLength(16);
  expect(sent[0]?.[3]).toEqual({ answer: 'small_fix', reasons: ['shading'] });
  expect(sent[0]?.[7]).toEqual({ answer: 'no', reasons: [] });
});

test('the reveal says what was what, the interval, and what to change', async () => {
  sent = [NUMBERS.map(() => ({ answer: 'no', reasons: [] }))];
  await renderApp();
  expect(await screen.findByRole('heading', { name: 'Not approved' })).toBeInTheDocument();
  const interval = '6 of 10 usable. Of many more, between 31 % and 83 % would be.';
  expect(screen.getByRole('img', { name: interval })).toBeInTheDocument();
  expect(screen.getByText('Add flat illustrations.')).toBeInTheDocument();
  expect(screen.getByText(/The style before it is live again/)).toBeInTheDocument();
  const own = screen.getByRole('heading', { name: "The studio's own" }).closest('section');
  expect(own).not.toBeNull();
  if (own) expect(within(own).getAllByRole('figure')).toHaveLength(3);
  expect(screen.queryByText(/pack promote/)).not.toBeInTheDocument();
});

async function reveal() {
  sent = [NUMBERS.map(() => ({ answer: 'no', reasons: [] }))];
  const page = await renderApp();
  expect(await screen.findByRole('heading', { name: 'Not approved' })).toBeInTheDocument();
  return page;
}

test('each picture in the style is shown with what it is compared with, and a likely copy says so', async () => {
  await reveal();
  expect(screen.getByText(/the two training pictures that are most like it/)).toBeInTheDocument();
  const cards = screen.getAllByRole('figure');
  for (const [index, card] of cards.entries()) {
    const names = within(card).queryAllByRole('button').map((button) => button.getAttribute('aria-label'));
    const labels = ['Without the style', 'Nearest training picture', 'Second nearest'];
    expect(names).toEqual(index < 10 ? labels.map((label) => `${label}: compare picture ${index + 1}`) : []);
  }
  expect(screen.getAllByText('Very like a training picture. Is it a copy?')).toHaveLength(10);
});

test('a tile opens the comparison, the arrows go through it, and closing it brings the focus back', async () => {
  const { user } = await reveal();
  const opener = screen.getByRole('button', { name: 'Without the style: compare picture 3' });
  await user.click(opener);
  const dialog = within(screen.getByRole('dialog', { name: 'Picture 3: thing 3' }));
  expect(await dialog.findByRole('img', { name: 'Picture 3, in this style' })).toBeInTheDocument();
  expect(await dialog.findByRole('img', { name: 'Without the style' })).toBeInTheDocument();
  expect(dialog.getByRole('button', { name: 'Previous' })).toHaveAttribute('aria-disabled', 'true');
  await user.keyboard('{ArrowLeft}{ArrowRight}');
  expect(await dialog.findByRole('img', { name: 'Nearest training picture' })).toBeInTheDocument();
  expect(dialog.getByText('Very alike. Is it a copy?')).toBeInTheDocument();
  await waitFor(() => expect(dialog.getByRole('status')).toHaveTextContent('2 of 3: Nearest training picture'));
  await user.click(dialog.getByRole('button', { name: 'Next' }));
  expect(dialog.getByText('lamp.png')).toBeInTheDocument();
  expect(dialog.getByRole('button', { name: 'Next' })).toHaveAttribute('aria-disabled', 'true');
  await user.click(dialog.getByRole('button', { name: 'Close' }));
  expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
  expect(opener).toHaveFocus();
});

test('a picture that cannot be compared says so and can be loaded again', async () => {
  const { user } = await reveal();
  isAsideBroken = true;
  await user.click(screen.getByRole('button', { name: 'Second nearest: compare picture 1' }));
  const dialog = within(screen.getByRole('dialog'));
  expect(await dialog.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  isAsideBroken = false;
  await user.click(dialog.getByRole('button', { name: 'Try again' }));
  expect(await dialog.findByRole('img', { name: 'Second nearest' })).toBeInTheDocument();
});

test('a review without training pictures says so, and one from before shows the cards alone', async () => {
  asides = (picture) => asidesOf(picture).slice(0, 1);
  const first = await reveal();
  expect(screen.getByText(/No training pictures were kept with this review/)).toBeInTheDocument();
  expect(screen.getAllByRole('button', { name: /compare picture/ })).toHaveLength(10);
  first.unmount();
  asides = () => [];
  await reveal();
  expect(screen.queryByText(/without the style\./)).not.toBeInTheDocument();
  expect(screen.queryByRole('button', { name: /compare picture/ })).not.toBeInTheDocument();
});

test('before the verdict nothing is asked for that a picture is compared with', async () => {
  const page = await begin();
  await answerAll(page);
  expect(asidesAsked).toBe(0);
  await page.user.click(screen.getByRole('button', { name: 'Send my answers' }));
  await waitFor(() => expect(asidesAsked).toBe(30));
});

test('answers survive a refresh, and another account in the same browser has none', async () => {
  const first = await begin();
  await first.user.keyboard('1{ArrowRight}');
  await expectCard(2);
  first.unmount();
  const again = await renderApp();
  await expectCard(2);
  again.unmount();
  await renderApp(fakeSession({ id: 'account-2', name: 'Bo', username: 'bo@studio.example' }));
  expect(await screen.findByRole('button', { name: 'Begin' })).toBeInTheDocument();
});

test('a picture that cannot be shown cannot be answered', async () => {
  isPictureBroken = true;
  const { user } = await renderApp();
  await user.click(await screen.findByRole('button', { name: 'Begin' }));
  expect(await screen.findByText(/couldn't be loaded/)).toBeInTheDocument();
  await user.keyboard('1');
  expect(screen.getByRole('button', { name: 'Use as is' })).toHaveAttribute('aria-pressed', 'false');
  expect(screen.getByRole('button', { name: 'Next' })).toHaveAttribute('aria-disabled', 'true');
  isPictureBroken = false;
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  await expectCard(1);
  await user.keyboard('1');
  expect(screen.getByRole('button', { name: 'Use as is' })).toHaveAttribute('aria-pressed', 'true');
});

test('answers that could not be sent are kept', async () => {
  const page = await begin();
  await answerAll(page);
  server.use(http.put(`${REVIEWS}/${ID}/verdict`, () => HttpResponse.error(), { once: true }));
  await page.user.click(screen.getByRole('button', { name: 'Send my answers' }));
  expect(await screen.findByRole('alert')).toHaveTextContent("Your answers couldn't be sent. They are kept.");
  await page.user.click(screen.getByRole('button', { name: 'Send my answers' }));
  expect(await screen.findByRole('heading', { name: 'Not approved' })).toBeInTheDocument();
  expect(sent).toHaveLength(1);
});

test('a refused verdict says why', async () => {
  const page = await begin();
  await answerAll(page);
  server.use(http.put(`${REVIEWS}/${ID}/verdict`, () => problem(409, 'review_answered', 'Already answered')));
  await page.user.click(screen.getByRole('button', { name: 'Send my answers' }));
  expect(await screen.findByRole('alert')).toHaveTextContent('Already answered');
});

test('a link to no review says so and leads back', async () => {
  server.use(http.get(`${REVIEWS}/${ID}`, () => problem(404, 'review_not_found', 'No such review')));
  await renderApp();
  expect(await screen.findByRole('heading', { name: 'No such review' })).toBeInTheDocument();
  expect(screen.getByRole('link', { name: 'Back to Onbrand' })).toHaveAttribute('href', '/');
});

test('somebody without the reviewer role is told whom to ask', async () => {
  server.use(http.get(`${REVIEWS}/${ID}`, () => problem(403, 'not_reviewer', 'Only for reviewers')));
  await renderApp();
  expect(await screen.findByRole('heading', { name: 'Only for reviewers' })).toBeInTheDocument();
  await waitFor(() => expect(screen.getByRole('link', { name: 'Onbrand' })).toHaveAttribute('href', '/'));
});

test('an address that names no review shows the main page', async () => {
  window.history.replaceState(null, '', '/?review=../../etc/passwd');
  await renderApp();
  expect(await screen.findByLabelText('Describe the illustration')).toBeInTheDocument();
});
