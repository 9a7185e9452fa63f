/** What the live style's model knows; null for a model without such a list, or until the page has it. */
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/api-context';
import type { Style } from '../api/get-me';
import { getKnown, type Known } from '../api/get-style-limits';

export function useKnown(style: Style | null): Known | null {
  const api = useApi();
  const { data = null } = useQuery({
    queryKey: ['known', style?.name, style?.version],
    queryFn: ({ signal }) => getKnown(api, signal),
    enabled: style !== null,
    staleTime: Infinity,
    structuralSharing: false,
    retry: false, // without it the page works as with any other model
  });
  return data;
}
