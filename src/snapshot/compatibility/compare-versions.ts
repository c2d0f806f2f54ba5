/** Numbers at the beginning of a version, such as 6, 18 and 44 of `6.18.44-fc`; `null` where it begins otherwise. */
const numbersOf = (version: string): readonly number[] | null => {
  const numbers = /^\d+(\.\d+)*/.exec(version)?.[0]
  return numbers === undefined ? null : numbers.split(".").map(Number)
}

/** Below, above or equal to 0 as `a` is older than, newer than or as old as `b`; 0 where one of them is no version. */
export const compareVersions = (a: string, b: string): number => {
  const left = numbersOf(a)
  const right = numbersOf(b)
  if (left === null || right === null) return 0
  const length = Math.max(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
