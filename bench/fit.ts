/** A straight line through points: y = intercept + slope * x. */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Line {
  readonly intercept: number
  readonly slope: number
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The one with the least squares of the distances in y; `undefined` where the points do not tell a slope. */
export const fitLine = (points: readonly Point[]): Line | undefined => {
  const middle = { x: mean(points.map(({ x }) => x)), y: mean(points.map(({ y }) => y)) }
  const spread = mean(points.map(({ x }) => (x - middle.x) ** 2))
  if (!(spread > 0)) return undefined
  const slope = mean(points.map(({ x, y }) => (x - middle.x) * (y - middle.y))) / spread
  return { intercept: middle.y - slope * middle.x, slope }
}
