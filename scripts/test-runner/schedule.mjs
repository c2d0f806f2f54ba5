/**
 * Runs files at most `jobs` at once, those with the longest limits first, so that no long one is left for the end.
 * Files that run alone come last, one by one.
 */
export const schedule = async (files, jobs, runOne) => {
  const queue = files.filter((file) => !file.runsAlone).sort((one, other) => other.limitSeconds - one.limitSeconds)
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runOne(file)
  }
  await Promise.all(Array.from({ length: jobs }, work))
  for (const file of files.filter(({ runsAlone }) => runsAlone)) await runOne(file)
}
