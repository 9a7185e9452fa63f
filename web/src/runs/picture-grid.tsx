/**
 * The grid of a run's four pictures. It is there from the press of the button on, so that nothing moves when pictures
 * replace previews.
 *
 * Arrow keys move the focus from picture to picture. Everything else about a picture is in its tile.
 */
import type { KeyboardEvent } from 'react';
import type { Job } from '../api/get-job';
import styles from './picture-grid.module.css';
import { PictureTile, type TileActions } from './picture-tile';

const NUMBERS = [1, 2, 3, 4];
const COLUMNS = 2;

/** How far an arrow key moves the focus. The smallest phones show one column: there up and down move by one, too. */
const MOVES: Record<string, (columns: number) => number> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
};

type PictureGridProps = {
  /** Null until the API has reported the job. */
  job: Job | null;
  prompt: string;
  actions: TileActions;
};

export function PictureGrid({ job, prompt, actions }: PictureGridProps) {
  return (
    <ul className={styles['grid']}>
      {NUMBERS.map((n) => (
        <li key={n}>
          <PictureTile job={job} n={n} prompt={prompt} actions={actions} onArrow={moveFocus} />
        </li>
      ))}
    </ul>
  );
}

function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const move = MOVES[event.key];
  const grid = event.currentTarget.closest('ul');
  if (move === undefined || grid === null) return;
  event.preventDefault();
  const isOneColumn = getComputedStyle(grid).gridTemplateColumns.split(' ').length === 1;
  const n = Number(event.currentTarget.dataset['picture']) + move(isOneColumn ? 1 : COLUMNS);
  grid.querySelector<HTMLElement>(`[data-picture='${n}']`)?.focus();
}
