/** Saves one picture: the stored bytes, under the name the API gives it. */
import { useMutation } from '@tanstack/react-query';
import { useApi } from '../api/api-context';
import { downloadImage } from '../api/get-image';
import { ApiProblem } from '../api/problem';

/** Browsers read the address some time after the click; a minute is long enough for the slowest disk dialogue. */
const KEEP_ADDRESS_MS = 60_000;

export function useDownload(address: string, onExpired: () => void) {
  const api = useApi();
  return useMutation({
    mutationFn: () => downloadImage(api, address),
    onSuccess: ({ blob, name }) => save(blob, name),
    onError: (error) => {
      if (error instanceof ApiProblem && error.problem.status === 410) onExpired();
    },
  });
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), KEEP_ADDRESS_MS);
}
