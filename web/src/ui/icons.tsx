/** The page's own drawings, as inline SVG: the Content-Security-Policy allows no data: addresses. */

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
