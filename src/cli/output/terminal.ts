/** Colours, and what may be sent to a terminal. */
import type { WriteStream } from "node:tty"
import { styleText } from "node:util"

type Format = Parameters<typeof styleText>[0]

/** Colours a text, or leaves it as it is. */
export type Paint = (format: Format, text: string) => string

/** Colours only for a terminal that has them; `hasColors` heeds NO_COLOR and TERM. */
export const painter = (stream: WriteStream): Paint => {
  const isColoured = stream.isTTY === true && stream.hasColors()
  return (format, text) => (isColoured ? styleText(format, text, { validateStream: false }) : text)
}

// Control characters of C0 and C1, and those that turn the direction of writing.
const UNPRINTABLE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/** Text from a guest or a file, made safe to print on one line: nothing in it can steer the terminal. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
