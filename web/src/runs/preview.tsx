/** How a picture looks while it is drawn: soft at first, clearer with each step, and never a blank frame in between. */
import { useMemo, useState, type CSSProperties } from 'react';
import { BlobImage } from '../ui/blob-image';
import styles from './preview.module.css';

type PreviewProps = {
  /** A small JPEG in base64. */
  jpeg: string;
  /** 0–100: how far the drawing is; the softness goes with it. */
  percent: number;
};

export function Preview({ jpeg, percent }: PreviewProps) {
  // The one before stays below until the new one has faded in.
  const [layers, setLayers] = useState([jpeg]);
  if (layers.at(-1) !== jpeg) setLayers([...layers.slice(-1), jpeg]);
  const blur = 12 * (1 - percent / 100);
  const softness: CSSProperties & Record<'--softness', string> = { '--softness': `${blur.toFixed(1)}px` };
  return (
    <div className={styles['preview']} style={softness} data-testid="preview">
      {layers.map((layer) => (
        <Layer key={layer} jpeg={layer} />
      ))}
    </div>
  );
}

function Layer({ jpeg }: { jpeg: string }) {
  const [isShown, setIsShown] = useState(false);
  const blob = useMemo(() => new Blob([bytesOf(jpeg)], { type: 'image/jpeg' }), [jpeg]);
  return <BlobImage blob={blob} alt="" data-shown={isShown} onLoad={() => setIsShown(true)} />;
}

/** Nothing, if it isn't base64: a preview is an extra, and no reason to lose the page. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
