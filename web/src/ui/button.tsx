/**
 * A button. `isUnavailable` turns it off but keeps it in the tab order: the focus stays where it was, and a screen
 * reader can read the reason.
 *
 * A held Enter key is one press. Browsers would click a button again for every repeat of the key.
 */
import type { ComponentProps, KeyboardEvent, MouseEvent } from 'react';
import styles from './button.module.css';
import { classes } from './classes';

type ButtonProps = Omit<ComponentProps<'button'>, 'disabled' | 'type' | 'className' | 'onKeyDown'> & {
  look?: 'primary' | 'secondary' | 'quiet';
  isUnavailable?: boolean;
};

export function Button({ look = 'secondary', isUnavailable = false, onClick, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      className={classes(styles['button'], styles[look])}
      aria-disabled={isUnavailable || undefined}
      onClick={isUnavailable ? undefined : onClick}
      onKeyDown={ignoreRepeatedEnter}
      {...rest}
    />
  );
}

/** A double click is one press, also on a machine so busy that its two clicks arrive seconds apart. */
export function firstClick(action: () => void): (event: MouseEvent) => void {
  return ({ detail }) => {
    if (detail < 2) action();
  };
}

function ignoreRepeatedEnter(event: KeyboardEvent): void {
  if (event.key === 'Enter' && event.repeat) event.preventDefault();
}
