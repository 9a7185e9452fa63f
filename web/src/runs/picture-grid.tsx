/**
 * The four places of a run, from the press of the button on: previews resolve into pictures without anything moving.
 * Arrow keys go from picture to picture; everything else about a picture is its tile's.
 */
import type { KeyboardEvent } from 'react';
import type { Job } from '../api/get-job';
import styles from './picture-grid.module.css';
import { PictureTile, type TileActions } from './picture-tile';

const PLACES = [1, 2, 3, 4];
const COLUMNS = 2;

/** How far along the row an arrow key goes. On a phone, where there is one column, up and down are one picture too. */
const MOVES: Record<string, (columns: number) => number> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
};

type PictureGridProps = {
  /** Null until the server has told anything about it. */
  job: Job | null;
  prompt: string;
  actions: TileActions;
};

export function PictureGrid({ job, prompt, actions }: PictureGridProps) {
  return (
    <ul className={styles['grid']}>
      {PLACES.map((n) => (
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
