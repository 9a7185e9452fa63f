/** A button. `isUnavailable` keeps it in the tab order, so that focus stays where it was and the reason can be read. */
import type { ComponentProps } from 'react';
import styles from './button.module.css';
import { classes } from './classes';

type ButtonProps = Omit<ComponentProps<'button'>, 'disabled' | 'type' | 'className'> & {
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
      {...rest}
    />
  );
}
