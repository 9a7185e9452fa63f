/** Saves one picture: the stored bytes, under the name the API gives it. */
import { useMutation } from '@tanstack/react-query';
import { isGone, save } from './save-file';
import { useLoadPicture } from '../api/use-image';

/** `mutate(address)` saves; `variables` is the address it is, or was last, about. */
export function useDownload(onSaved: () => void, onExpired: () => void) {
  const load = useLoadPicture();
  return useMutation({
    mutationFn: async (address: string) => save(await load(address)),
    // What is on the page can be saved offline; TanStack Query would wait for a connection.
    networkMode: 'always',
    onSuccess: onSaved,
    onError: (error) => {
      if (isGone(error)) onExpired();
    },
  });
}
