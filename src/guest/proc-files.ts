/** The guest's own accounts of its memory, as `/proc` has them. */

/** `Name:  123 kB` a line; values in bytes. */
export const parseMeminfo = (text: string): Map<string, number> => {
  const lines = text.matchAll(/^([^:\s]+):\s+(\d+)( kB)?$/gm)
  return new Map([...lines].map(([, name, value, unit]) => [name ?? "", Number(value) * (unit ? 1024 : 1)]))
}

/** `name 123` a line. */
export const parseVmstat = (text: string): Map<string, number> => {
  const lines = text.matchAll(/^(\S+) (\d+)$/gm)
  return new Map([...lines].map(([, name, value]) => [name ?? "", Number(value)]))
}
