/** What the keyboard controller counts. */
export interface I8042Metrics {
  /** Resets that the guest asked for. */
  resets: number
  /** Commands it does not know, and bytes for a keyboard or mouse that is not there. */
  unknownCommands: number
  droppedBytes: number
}

export const makeI8042Metrics = (): I8042Metrics => ({ resets: 0, unknownCommands: 0, droppedBytes: 0 })
