/* without-pagemap-scan COMMAND...: runs a command as on a kernel before 6.7, which does not know PAGEMAP_SCAN. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct pm_scan_arg has twelve fields of 8 bytes. */
#define PAGEMAP_SCAN _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS_EQUAL_ALLOW(value, rest) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, rest)

int main(int argc, char **argv) {
  struct sock_filter filter[] = {
      LOAD(arch),    UNLESS_EQUAL_ALLOW(AUDIT_ARCH_X86_64, 5),
      LOAD(nr),      UNLESS_EQUAL_ALLOW(SYS_ioctl, 3),
      LOAD(args[1]), UNLESS_EQUAL_ALLOW(PAGEMAP_SCAN, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (argc < 2) return 2;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return perror("PR_SET_NO_NEW_PRIVS"), 1;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return perror("PR_SET_SECCOMP"), 1;
  execvp(argv[1], argv + 1);
  return perror(argv[1]), 1;
}
