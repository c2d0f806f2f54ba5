/** Stops reading standard input, so that it does not keep the process alive. */
export const releaseInput = (): void => {
  process.stdin.pause()
  // A file has no such method, whatever the types say; it keeps nothing alive.
  const input: { unref?: () => void } = process.stdin
  input.unref?.()
}
