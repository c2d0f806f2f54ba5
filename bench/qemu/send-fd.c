/*
 * Sends what is on standard input to the socket 3, and with it the file descriptor 4. QMP's `getfd` takes descriptors in
 * no other way, and Node.js cannot send them.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKET = 3, SENT = 4 };

int main(void) {
  char text[4096];
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  const ssize_t length = read(STDIN_FILENO, text, sizeof text);
  if (length <= 0) {
    fprintf(stderr, "send-fd: nothing to send\n");
    return 1;
  }
  struct iovec piece = {text, (size_t)length};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &(int){SENT}, sizeof(int));
  if (sendmsg(SOCKET, &message, 0) != length) {
    perror("send-fd: sendmsg");
    return 1;
  }
  return 0;
}
