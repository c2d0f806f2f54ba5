/* page-out PID ADDRESS LENGTH: asks the kernel to take pages of another process out of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const int process = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);
  if (process < 0) return perror("pidfd_open"), 1;
  struct iovec range = {(void *)strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0)};
  if (syscall(SYS_process_madvise, process, &range, 1, MADV_PAGEOUT, 0) < 0) return perror("process_madvise"), 1;
  return 0;
}
