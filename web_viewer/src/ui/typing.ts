/** For ``use:``: a field that has come to be typed in has the keyboard, its text marked. ``autofocus`` would leave it where it is. */
export function typing(field: HTMLInputElement) {
  field.focus();
  field.select();
}
