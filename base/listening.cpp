#include "regroup/base/listening.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "regroup/base/file_descriptor.h"

namespace regroup {
namespace {

bool accepts(const addrinfo& place, std::chrono::milliseconds patience) {
  const int kind = place.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const FileDescriptor socket(::socket(place.ai_family, kind, place.ai_protocol));
  if (socket.get() < 0) return false;
  if (::connect(socket.get(), place.ai_addr, place.ai_addrlen) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd answer = {.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&answer, 1, static_cast<int>(patience.count())) != 1) return false;
  int error = 0;
  socklen_t size = sizeof(error);
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

}  // namespace

bool is_listening(const std::string& address, int port, std::chrono::milliseconds patience) {
  addrinfo wanted = {};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) {
    return false;
  }
  bool any = false;
  for (const addrinfo* place = found; place != nullptr && !any; place = place->ai_next) {
    any = accepts(*place, patience);
  }
  ::freeaddrinfo(found);
  return any;
}

}  // namespace regroup
