/** The icons, as inline SVG: the Content-Security-Policy forbids data: URLs. */

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" fill="currentColor">
      <rect x="3" y="3" width="12" height="12" rx="3" opacity="0.42" />
      <rect x="17" y="3" width="12" height="12" rx="3" opacity="0.42" />
      <rect x="3" y="17" width="12" height="12" rx="3" opacity="0.42" />
      <rect x="17" y="17" width="12" height="12" rx="6" fill="var(--accent)" />
    </svg>
  );
}

export function DownloadIcon() {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor">
      <path d="M8 2v8m0 0L4.75 6.75M8 10l3.25-3.25M2.5 13.25h11" strokeWidth="1.5" strokeLinecap="round" />
    </svg>
  );
}

export function ChevronIcon() {
  return (
    <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="none" stroke="currentColor">
      <path d="m3.5 6 4.5 4.5L12.5 6" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

export function WarningIcon() {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor">
      <circle cx="8" cy="8" r="6.25" strokeWidth="1.5" />
      <path d="M8 4.75v3.75" strokeWidth="1.5" strokeLinecap="round" />
      <circle cx="8" cy="11" r="0.5" fill="currentColor" />
    </svg>
  );
}

export function CheckIcon() {
  return (
    <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="none" stroke="currentColor">
      <path d="m3 8.5 3.5 3.5L13 4.5" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

export function CloseIcon() {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor">
      <path d="m3.5 3.5 9 9m0-9-9 9" strokeWidth="1.5" strokeLinecap="round" />
    </svg>
  );
}

export function CopyIcon() {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor">
      <path d="M10.5 3.25v-.5a1 1 0 0 0-1-1h-6.75a1 1 0 0 0-1 1V9.5a1 1 0 0 0 1 1h.5" strokeWidth="1.5" />
      <rect x="5.75" y="5.75" width="8.5" height="8.5" rx="1" strokeWidth="1.5" />
    </svg>
  );
}
