/** Reading a stream of the library until told to stop. */

export interface Following {
  /** Settles when the stream has ended or was stopped; rejects where a piece could not be dealt with. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** Hands each piece to `onPiece`, and waits for it before the next. */
export const follow = <A>(source: AsyncIterable<A>, onPiece: (piece: A) => void | Promise<void>): Following => {
  const iterator = source[Symbol.asyncIterator]()
  const read = async (): Promise<void> => {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) await onPiece(next.value)
  }
  const ended = read().finally(() => iterator.return?.())
  // Whoever waits for it learns of a failure; it must not end the process before.
  ended.catch(() => {})
  return {
    ended,
    stop: async () => {
      await iterator.return?.()
      await ended.catch(() => {})
    },
  }
}
