/** A button that copies a text. It says whether copying worked, because a browser may refuse. */
import { useEffect } from 'react';
import { useAnnounce } from './announcer';
import { Button } from './button';
import { strings } from './strings';
import { useCopy } from './use-copy';

type CopyTextProps = { text: string; label: string; look?: 'primary' | 'secondary' | 'quiet' };

export function CopyText({ text, label, look = 'quiet' }: CopyTextProps) {
  const { start, copied, failed } = useCopy();
  const announce = useAnnounce();
  useEffect(() => {
    if (failed !== null) announce(strings.copyFailed);
  }, [failed, announce]);
  // On a page that wasn't loaded securely, `navigator.clipboard` is undefined. The async function turns the TypeError
  // into a rejection, so that the person gets the same message.
  const copy = async () => {
    await navigator.clipboard.writeText(text);
  };
  return (
    <>
      <Button look={look} onClick={() => start(text, copy)}>
        {copied === text ? strings.copied : label}
      </Button>
      {failed !== null && <p>{strings.copyFailed}</p>}
    </>
  );
}
