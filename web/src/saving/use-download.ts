/** Saves one picture: the stored bytes, under the file name that the API gives. */
import { useMutation } from '@tanstack/react-query';
import { isExpired } from '../api/problem';
import { useLoadImage } from '../api/use-image';
import { saveFile } from './save-file';

/** `mutate(path)` saves the picture. `variables` is the path of the current or latest download. */
export function useDownload(onSaved: () => void, onExpired: () => void) {
  const loadImage = useLoadImage();
  return useMutation({
    mutationFn: async (path: string) => saveFile(await loadImage(path)),
    // A loaded picture can be saved offline. By default TanStack Query would wait for a connection.
    networkMode: 'always',
    onSuccess: onSaved,
    onError: (error) => {
      if (isExpired(error)) onExpired();
    },
  });
}
