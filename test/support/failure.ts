/** Waits for a promise that has to reject. @returns what it rejects with */
export const failureOf = (
  promise: Promise<unknown>,
): Promise<{ readonly _tag: string; readonly code: string; readonly message: string }> =>
  promise.then(
    (value) => {
      throw new Error(`it succeeded: ${JSON.stringify(value)}`)
    },
    (error: { readonly _tag: string; readonly code: string; readonly message: string }) => error,
  )
