/** The pictures that the live style shows of itself, each with its file; without those that can't be had. */
import { useQuery } from '@tanstack/react-query';
import { useApi } from './api-context';
import type { Api } from './client';
import { getImage } from './get-image';
import type { Style } from './get-me';
import { getStylePictures } from './get-style-pictures';

export type ShownPicture = { prompt: string; file: File };

export function useStylePictures(style: Style | null): ShownPicture[] {
  const api = useApi();
  const { data = [] } = useQuery({
    queryKey: ['style-pictures', style?.name, style?.version],
    queryFn: ({ signal }) => loadPictures(api, signal),
    enabled: style !== null,
    staleTime: Infinity,
    structuralSharing: false,
    retry: false, // the page works without them
  });
  return data;
}

async function loadPictures(api: Api, signal: AbortSignal): Promise<ShownPicture[]> {
  const pictures = await getStylePictures(api, signal);
  return Promise.all(
    pictures.map(async ({ prompt, url }) => ({ prompt, file: await getImage(api, url, { signal, priority: 'low' }) })),
  );
}
