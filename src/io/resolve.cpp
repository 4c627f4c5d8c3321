// SPDX-License-Identifier: MIT
#include "base/clock.hpp"
#include "base/debug_text.hpp"
#include "base/sys.hpp"
#if ASTER_HAS_CARES
#include "io/resolve_cares.hpp"
#endif

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/executor/executor.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/io/resolve.hpp>
#include <aster/task/exception_context.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace aster::inline v0 {
namespace {

constexpr std::size_t name_size_max = 253;  // Of a domain name without the final dot.
constexpr int workers_max = 4;

/// `text` for a message: shortened, what does not print as '?'.
std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text.substr(0, 64)) shown += c >= ' ' && c <= '~' ? c : '?';
  return shown + (text.size() > 64 ? "…\"" : "\"");
}

void check_host(std::string_view host) {
  if (host.empty()) throw ValueError("getaddrinfo: empty host name \"\"");
  if (host.find('\0') != std::string_view::npos) {
    throw ValueError("getaddrinfo: host name with a NUL " + quoted(host));
  }
  if (host.size() - (host.back() == '.' ? 1 : 0) > name_size_max) {
    throw ValueError("getaddrinfo: host name of " + std::to_string(host.size()) +
                     " characters, more than 253: " + quoted(host));
  }
}

bool is_number(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string port_text(int port) {
  if (port >= 0 && port <= 65535) return std::to_string(port);
  throw ValueError("getaddrinfo: port must be 0 to 65535, not " + std::to_string(port));
}

std::string service_text(std::string_view service) {
  if (service.empty()) return "0";
  if (service.find('\0') != std::string_view::npos) {
    throw ValueError("getaddrinfo: service with a NUL " + quoted(service));
  }
  if (is_number(service)) {
    const auto start = std::min(service.find_first_not_of('0'), service.size() - 1);
    const std::string digits(service.substr(start));
    return port_text(digits.size() > 5 ? 65536 : std::stoi(digits));
  }
  return std::string(service);
}

[[noreturn]] void throw_gai(int error, int number, const std::string& what) {
  if (error == EAI_SYSTEM) detail::throw_system_error(number, what);
  throw std::system_error(error, gai_category(), what);
}

/// Asks the system; blocks unless `query` is numeric.
std::vector<AddressInfo> ask_system(const detail::AddressQuery& query) {
  addrinfo hints{};
  hints.ai_family = query.options.family;
  hints.ai_socktype = query.options.type;
  hints.ai_protocol = query.options.proto;
  hints.ai_flags = query.options.flags;
  addrinfo* list = nullptr;
  const int error =
      detail::sys::getaddrinfo(query.host.c_str(), query.service.c_str(), &hints, &list);
  if (error != 0) throw_gai(error, errno, "getaddrinfo " + query.str());
  struct Guard {
    addrinfo* list;
    ~Guard() { ::freeaddrinfo(list); }
  } guard{list};
  std::vector<AddressInfo> found;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    found.emplace_back(each->ai_family, each->ai_socktype, each->ai_protocol,
                       each->ai_canonname != nullptr ? each->ai_canonname : "",
                       Address::from_native(each->ai_addr, each->ai_addrlen));
  }
  return found;
}

NameInfo ask_system_for_name(const Address& address, int flags) {
  char host[NI_MAXHOST] = {};
  char service[NI_MAXSERV] = {};
  const int error =
      detail::sys::getnameinfo(static_cast<const sockaddr*>(address.data()), address.size(), host,
                               sizeof host, service, sizeof service, flags);
  if (error != 0) throw_gai(error, errno, "getnameinfo " + address.str());
  return NameInfo(host, service);
}

Address with_port(const Address& address, int port) {
  alignas(8) char bytes[sizeof(sockaddr_storage)] = {};
  std::memcpy(bytes, address.data(), std::min<std::size_t>(address.size(), sizeof bytes));
  const auto network_order = htons(static_cast<std::uint16_t>(port));
  const std::size_t offset = address.family() == AF_INET6 ? offsetof(sockaddr_in6, sin6_port)
                                                          : offsetof(sockaddr_in, sin_port);
  std::memcpy(bytes + offset, &network_order, sizeof network_order);
  return Address::from_native(bytes, address.size());
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace

namespace detail {

std::string AddressQuery::str() const {
  const bool needs_brackets = host.find(':') != std::string::npos;
  return (needs_brackets ? '[' + host + ']' : host) + ':' + service;
}

/// The look-ups that are in the midst of a system call, by what they look for.
class ResolverService::Running {
 public:
  class Entry {
   public:
    Entry(Running& running, std::string what) : running_(running) {
      const std::lock_guard lock(running_.mutex_);
      at_ = running_.names_.insert(running_.names_.end(), std::move(what));
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() {
      const std::lock_guard lock(running_.mutex_);
      running_.names_.erase(at_);
    }

   private:
    Running& running_;
    std::list<std::string>::iterator at_;
  };

  [[nodiscard]] std::vector<std::string> names() const {
    const std::lock_guard lock(mutex_);
    return {names_.begin(), names_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::list<std::string> names_;
};

ResolverService::ResolverService(EventLoop& loop)
    : loop_(loop),
      lookup_(std::make_shared<const Lookup>(&ask_system)),
      running_(std::make_shared<Running>()) {
#if ASTER_HAS_CARES
  async_ = make_cares_resolver(loop);
#endif
}

AsyncResolver::~AsyncResolver() = default;

ResolverService::~ResolverService() = default;

void ResolverService::close() noexcept {
  async_.reset();
  if (pool_ == nullptr) return;
  try {
    const ThreadPoolExecutor::Stuck stuck = pool_->leave(true);
    pool_.reset();
    if (stuck.threads.empty()) return;  // Also in a forked child, where the names may be locked.
    const std::vector<std::string> names = running_->names();
    if (names.empty()) return;
    std::string message = "close: name look-ups that do not end are left running:";
    for (const std::string& name : names) message += ' ' + name;
    loop_.call_exception_handler({message, nullptr, {}, {}, {}});
  } catch (...) {
    log_error("close: name look-ups that do not end are left running");
  }
}

ThreadPoolExecutor& ResolverService::pool() {
  if (pool_ == nullptr) {
    ThreadPoolOptions options;
    options.max_workers = workers_max;
    options.thread_name_prefix = "aster-resolve";
    pool_ = std::make_unique<ThreadPoolExecutor>(options);
  }
  return *pool_;
}

void ResolverService::add_host(std::string_view name, std::vector<Address> addresses) {
  hosts_[lower_case(name)] = std::move(addresses);
}

void ResolverService::set_lookup(Lookup lookup) {
  lookup_ = std::make_shared<const Lookup>(std::move(lookup));
  async_.reset();
}

/// A future that is done already.
template <class R, class F>
Future<R> ResolverService::answer(F&& function) {
  Future<R> future = loop_.create_future<R>();
  try {
    future.set_result(function());
  } catch (...) {
    future.set_exception(std::current_exception());
  }
  return future;
}

/// Runs `function` on a thread of the pool; in debug mode logs how long it took (EXE-12).
template <class F>
auto ResolverService::look_up(std::string what, F&& function) {
  const std::optional<Duration> slow =
      loop_.get_debug() ? std::optional(loop_.slow_callback_duration) : std::nullopt;
  return loop_.run_in_executor(&pool(), [what = std::move(what), slow, running = running_,
                                         call = std::forward<F>(function)] {
    const Running::Entry entry(*running, what);
    struct Timed {
      const std::string& what;
      const std::optional<Duration>& slow;
      TimePoint start;
      ~Timed() {
        if (!slow) return;
        const Duration taken = sys::steady_now() - start;
        const LogLevel level = taken < *slow ? LogLevel::debug : LogLevel::info;
        try {
          log(level, what + " took " + seconds(taken) + " seconds");
        } catch (const std::bad_alloc&) {
          log(level, "a name look-up took long");
        }
      }
    } timed{what, slow, sys::steady_now()};
    return call();
  });
}

std::vector<AddressInfo> ResolverService::from_table(const AddressQuery& query) const {
  const auto host = hosts_.find(lower_case(query.host));
  if (host == hosts_.end()) throw_gai(EAI_NONAME, 0, "getaddrinfo " + query.str());
  if (!is_number(query.service)) throw_gai(EAI_SERVICE, 0, "getaddrinfo " + query.str());
  const int port = std::stoi(query.service);
  const int wanted = query.options.type;
  std::vector<AddressInfo> found;
  for (const Address& address : host->second) {
    if (query.options.family != AF_UNSPEC && query.options.family != address.family()) continue;
    for (const auto& [type, protocol] :
         {std::pair(SOCK_STREAM, IPPROTO_TCP), std::pair(SOCK_DGRAM, IPPROTO_UDP)}) {
      if (wanted != 0 && wanted != type) continue;
      found.emplace_back(address.family(), type, protocol, "", with_port(address, port));
    }
  }
  if (found.empty()) throw_gai(EAI_NONAME, 0, "getaddrinfo " + query.str());
  return found;
}

Future<std::vector<AddressInfo>> ResolverService::getaddrinfo(AddressQuery query) {
  using Found = std::vector<AddressInfo>;
  if (is_number(query.service) && Address::try_parse(query.host, 0)) {
    query.options.flags |= AI_NUMERICHOST | AI_NUMERICSERV;  // Never blocks.
    return answer<Found>([&] { return ask_system(query); });
  }
  if (hosts_only_ || hosts_.contains(lower_case(query.host))) {
    return answer<Found>([&] { return from_table(query); });
  }
  if (async_ != nullptr) return async_->getaddrinfo(query);
  std::string what = "getaddrinfo " + query.str();
  return look_up(std::move(what),
                 [lookup = lookup_, asked = std::move(query)] { return (*lookup)(asked); });
}

Future<NameInfo> ResolverService::getnameinfo(const Address& address, int flags) {
  if (!address.is_ip()) {
    throw ValueError("getnameinfo: not an IP address: " + quoted(address.str()));
  }
  constexpr int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
  if ((flags & numeric) == numeric) {
    return answer<NameInfo>([&] { return ask_system_for_name(address, flags); });
  }
  if (hosts_only_) {
    return answer<NameInfo>([&] { return ask_system_for_name(address, flags | numeric); });
  }
  if (async_ != nullptr) return async_->getnameinfo(address, flags);
  return look_up("getnameinfo " + address.str(),
                 [address, flags] { return ask_system_for_name(address, flags); });
}

}  // namespace detail

Future<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string_view host, int port,
                                                        const GetaddrinfoOptions& options) {
  scheduler_->require_open("getaddrinfo");
  check_host(host);
  detail::AddressQuery query(host, port_text(port), options);
  return service<detail::ResolverService>().getaddrinfo(std::move(query));
}

Future<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string_view host,
                                                        std::string_view service_name,
                                                        const GetaddrinfoOptions& options) {
  scheduler_->require_open("getaddrinfo");
  check_host(host);
  detail::AddressQuery query(host, service_text(service_name), options);
  return service<detail::ResolverService>().getaddrinfo(std::move(query));
}

Future<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string_view host, int port) {
  return getaddrinfo(host, port, GetaddrinfoOptions());
}

Future<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::string_view host,
                                                        std::string_view service_name) {
  return getaddrinfo(host, service_name, GetaddrinfoOptions());
}

Future<NameInfo> EventLoop::getnameinfo(const Address& address, int flags) {
  scheduler_->require_open("getnameinfo");
  return service<detail::ResolverService>().getnameinfo(address, flags);
}

Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host, int port,
                                             GetaddrinfoOptions options) {
  return detail::require_running("getaddrinfo").loop().getaddrinfo(host, port, options);
}

Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host, std::string_view service,
                                             GetaddrinfoOptions options) {
  return detail::require_running("getaddrinfo").loop().getaddrinfo(host, service, options);
}

Future<NameInfo> getnameinfo(const Address& address, int flags) {
  return detail::require_running("getnameinfo").loop().getnameinfo(address, flags);
}

}  // namespace aster::inline v0
