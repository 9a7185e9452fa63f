/** Gets the pictures that the live style shows of itself: where they are, and the prompt of each. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type StylePicture = components['schemas']['PictureView'];

export async function getStylePictures(api: Api, signal: AbortSignal): Promise<StylePicture[]> {
  return (await responseData(api.client.GET('/style/pictures', { signal }))).pictures;
}
