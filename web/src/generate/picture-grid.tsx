/** The four places of a run, from the press of the button on; pictures fill them without anything moving. */
import { classes } from '../ui/classes';
import styles from './picture-grid.module.css';
import { PictureTile } from './picture-tile';

const PLACES = [1, 2, 3, 4];

type PictureGridProps = {
  /** Where the pictures are, relative to the API; empty until the job is complete. */
  addresses: string[];
  prompt: string;
  isDrawing: boolean;
  onExpired: () => void;
};

export function PictureGrid({ addresses, prompt, isDrawing, onExpired }: PictureGridProps) {
  return (
    <ul className={styles['grid']}>
      {PLACES.map((n) => {
        const address = addresses[n - 1];
        return (
          <li key={n}>
            {address === undefined ? (
              <Placeholder n={n} isDrawing={isDrawing} />
            ) : (
              <PictureTile address={address} n={n} prompt={prompt} onExpired={onExpired} />
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Placeholder({ n, isDrawing }: { n: number; isDrawing: boolean }) {
  return (
    <div aria-hidden="true" data-testid="placeholder">
      <div className={classes(styles['square'], isDrawing && styles['drawing'])} />
      <div className={styles['bar']}>
        <span className={styles['number']}>{n}</span>
      </div>
    </div>
  );
}
