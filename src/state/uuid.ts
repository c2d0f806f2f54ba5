/** A UUID (RFC 9562) as text and as its 16 bytes. */

/** @param text in five groups, of either case */
export const uuidBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll("-", ""), "hex"))

/** Lower case, in five groups. */
export const uuidText = (bytes: Uint8Array): string => {
  const digits = Buffer.from(bytes).toString("hex")
  const groups = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)]
  return groups.join("-")
}
