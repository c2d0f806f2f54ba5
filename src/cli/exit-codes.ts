/** What the command's exit codes mean. A program run by `--exec` gives its own instead. */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  hostUnsupported: 3,
  interrupted: 130,
  /** Of "snapshot diff", as of diff(1). */
  differs: 1,
  diffTrouble: 2,
} as const

/** The closing section of every command's help. */
export const exitCodeHelp = `
Exit codes:
  0    done
  1    it failed
  2    the command line is not right
  3    this host cannot run virtual machines ("cryovm doctor" says why)
  130  interrupted (Ctrl-C); 143 on SIGTERM, 129 on SIGHUP, 141 when stdout was closed early`

/** The same for "snapshot diff". */
export const diffExitCodeHelp = `
Exit codes:
  0    nothing differs
  1    something differs
  2    it failed, or the command line is not right
  130  interrupted (Ctrl-C); 143 on SIGTERM, 129 on SIGHUP, 141 when stdout was closed early`

const CODES: ReadonlyMap<string, number> = new Map([
  ["CRYOVM_USAGE", ExitCode.usage],
  ["CRYOVM_CONFIG_INVALID", ExitCode.usage],
  ["CRYOVM_HOST_UNSUPPORTED", ExitCode.hostUnsupported],
  ["CRYOVM_NATIVE_ADDON_MISSING", ExitCode.hostUnsupported],
])

/**
 * @param code `code` of an error, where it has one
 * @param failure what a failure without a code of its own exits with
 */
export const exitCodeOf = (code: string | undefined, failure: number = ExitCode.failure): number =>
  CODES.get(code ?? "") ?? failure
