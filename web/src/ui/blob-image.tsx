/** Shows a Blob as an <img>. The object URL lives as long as the element, so that no picture outlasts a sign-out. */
import { useCallback, type ComponentProps } from 'react';

type BlobImageProps = Omit<ComponentProps<'img'>, 'src' | 'ref' | 'alt'> & { blob: Blob; alt: string };

export function BlobImage({ blob, alt, ...rest }: BlobImageProps) {
  const setSource = useCallback(
    (image: HTMLImageElement) => {
      const url = URL.createObjectURL(blob);
      image.src = url;
      return () => URL.revokeObjectURL(url);
    },
    [blob],
  );
  return <img ref={setSource} alt={alt} {...rest} />;
}
