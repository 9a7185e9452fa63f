/** Saves a file to the person's disk, as a download. */

/** The browser reads an object URL some time after the click. One minute is enough for a slow "Save as" dialog. */
const URL_LIFETIME_MS = 60_000;

export function saveFile(file: File): void {
  const link = document.createElement('a');
  link.href = temporaryUrl(file);
  link.download = file.name;
  link.click();
}

/** An object URL for a reader outside the page. It works for one minute. */
export function temporaryUrl(file: File): string {
  const url = URL.createObjectURL(file);
  window.setTimeout(() => URL.revokeObjectURL(url), URL_LIFETIME_MS);
  return url;
}
