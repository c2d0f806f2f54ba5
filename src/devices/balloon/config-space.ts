/** The balloon's configuration space, virtio 1.2 section 5.5.4: 12 bytes, little endian, of which one field is the guest's. */
import type { AccessLength } from "../device.ts"
import { type BalloonState, hintCommandId } from "./state-machine.ts"

const NUM_PAGES = 0
const ACTUAL = 4
const FREE_PAGE_HINT_CMD_ID = 8

const field = (state: BalloonState, offset: number): number => {
  switch (offset) {
    case NUM_PAGES:
      return state.targetPages
    case ACTUAL:
      return state.actualPages
    case FREE_PAGE_HINT_CMD_ID:
      return hintCommandId(state.hinting)
    default:
      return 0
  }
}

const byteAt = (state: BalloonState, offset: number): number =>
  (field(state, offset & ~3) >>> (8 * (offset & 3))) & 0xff

/** What the guest reads; 0 beyond the end. */
export const readConfigSpace = (state: BalloonState, offset: number, length: AccessLength): number => {
  let value = 0
  for (let index = length - 1; index >= 0; index--) value = value * 256 + byteAt(state, offset + index)
  return value
}

/**
 * `actual` after the guest's write, or `undefined` where the write is none of it: the target and the hinting command
 * are the host's, and a guest that writes there changes nothing.
 */
export const writtenActual = (
  state: BalloonState,
  offset: number,
  length: AccessLength,
  value: number,
): number | undefined => {
  let actual = state.actualPages
  let touched = false
  for (let index = 0; index < length; index++) {
    const at = offset + index - ACTUAL
    if (at < 0 || at >= 4) continue
    const byte = Math.floor(value / 256 ** index) % 256
    actual = ((actual & ~(0xff << (8 * at))) | (byte << (8 * at))) >>> 0
    touched = true
  }
  return touched ? actual : undefined
}
