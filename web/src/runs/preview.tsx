/** A preview of a picture while it is drawn. It is blurred at first and becomes sharper with each step. */
import { useMemo, useState, type CSSProperties } from 'react';
import { BlobImage } from '../ui/blob-image';
import styles from './preview.module.css';

type PreviewProps = {
  /** A small JPEG in base64. */
  jpeg: string;
  /** 0–100: how much of the job is done. The blur becomes weaker with it. */
  percent: number;
};

export function Preview({ jpeg, percent }: PreviewProps) {
  // The previous preview stays below until the new one has faded in, so that the tile is never blank in between.
  const [layers, setLayers] = useState([jpeg]);
  if (layers.at(-1) !== jpeg) setLayers([...layers.slice(-1), jpeg]);
  const blur = 12 * (1 - percent / 100);
  const style: CSSProperties & Record<'--softness', string> = { '--softness': `${blur.toFixed(1)}px` };
  return (
    <div className={styles['preview']} style={style} data-testid="preview">
      {layers.map((layer) => (
        <Layer key={layer} jpeg={layer} />
      ))}
    </div>
  );
}

function Layer({ jpeg }: { jpeg: string }) {
  const [isLoaded, setIsLoaded] = useState(false);
  const blob = useMemo(() => new Blob([decodeBase64(jpeg)], { type: 'image/jpeg' }), [jpeg]);
  return <BlobImage blob={blob} alt="" data-shown={isLoaded} onLoad={() => setIsLoaded(true)} />;
}

/** Returns no bytes if the text isn't base64: a broken preview must not break the page. */
function decodeBase64(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
