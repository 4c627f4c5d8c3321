// SPDX-License-Identifier: MIT
#include "net/stream_link.hpp"
#include "net/tls_handshake.hpp"

#include <aster/net/stream_writer.hpp>

#include <cerrno>

namespace aster::inline v0 {
namespace detail {

bool LinkWaiter::cancel(Driver& driver, std::string& message) noexcept {
  if (!is_linked()) return false;
  unlink();
  driver.wake_cancelled(message);
  return true;
}

void DrainAwaiter::wait(Driver& driver) noexcept {
  driver_ = &driver;
  const bool must_wait = link_->is_paused() || link_->is_closing();
  if (must_wait && !link_->is_lost() && link_->error() == nullptr) {
    // Closing: until it is lost, as writes do nothing any more; a task that goes on
    // writing would spin.
    link_->add_drain_waiter(*this);
    driver.suspend(*this);
  } else {  // Lost or failed: gives way once, then says so.
    driver.suspend();
    driver.wake();
  }
}

void DrainAwaiter::finish() {
  driver_->check();
  if (link_->error() != nullptr) std::rethrow_exception(link_->error());
  if (link_->is_lost()) throw_system_error(ECONNRESET, "drain: Connection lost");
}

bool ClosedAwaiter::await_ready() const noexcept { return link_->is_lost(); }

void ClosedAwaiter::wait(Driver& driver) noexcept {
  driver_ = &driver;
  link_->add_close_waiter(*this);
  driver.suspend(*this);
}

void ClosedAwaiter::await_resume() {
  if (driver_ != nullptr) driver_->check();
  if (link_->lost_error() != nullptr) std::rethrow_exception(link_->lost_error());
}

namespace {

Coroutine<> upgrade(StateRef<StreamLink> link, TlsSetup setup) {
  DrainAwaiter draining{LinkRef(StateRef<ReaderState>::share(*link))};
  co_await draining;
  auto shaking = shake_hands(StateRef<StreamTransport>::share(*link), std::move(setup));
  co_await std::move(shaking);
}

}  // namespace
}  // namespace detail

Coroutine<> StreamWriter::start_tls(const SSLContext& context, const StartTlsOptions& options) {
  detail::StreamLink& link = *link_;
  detail::TlsSetup setup =
      link.is_accepted() ? detail::server_tls("start_tls", detail::TlsContext::of(context), options)
                         : detail::client_tls("start_tls", context, std::nullopt, options);
  return detail::upgrade(detail::StateRef<detail::StreamLink>::share(link), std::move(setup));
}

SSLObject StreamWriter::ssl_object() const { return link_->ssl_object(); }

StreamWriter::~StreamWriter() { drop(); }

void StreamWriter::drop() noexcept {
  if (!link_ || link_->is_closing()) return;
  link_->warn_unclosed("StreamWriter");  // asyncio's ResourceWarning (ST-22).
  link_->close();
}

StreamWriter& StreamWriter::operator=(StreamWriter&& other) noexcept {
  if (this != &other) {
    drop();
    link_ = std::move(other.link_);
  }
  return *this;
}

void StreamWriter::write(std::string_view data) { link_->write(data); }
void StreamWriter::writelines(std::span<const std::string_view> pieces) {
  link_->writelines(pieces);
}
void StreamWriter::write_eof() { link_->write_eof(); }
void StreamWriter::close() noexcept { link_->close(); }
void StreamWriter::abort() noexcept { link_->abort(); }
bool StreamWriter::is_closing() const noexcept { return link_->is_closing(); }

std::optional<Address> StreamWriter::peername() const { return link_->peername(); }
std::optional<Address> StreamWriter::sockname() const { return link_->sockname(); }
SocketView StreamWriter::socket() const { return link_->socket(); }

void StreamWriter::set_write_buffer_limits(std::optional<std::size_t> high,
                                           std::optional<std::size_t> low) {
  link_->set_write_buffer_limits(high, low);
}

WriteBufferLimits StreamWriter::get_write_buffer_limits() const noexcept {
  return link_->get_write_buffer_limits();
}

Transport& StreamWriter::transport() const noexcept { return *link_; }
bool StreamWriter::can_write_eof() const noexcept { return link_->can_write_eof(); }
std::size_t StreamWriter::get_write_buffer_size() const noexcept { return link_->buffer_size(); }

}  // namespace aster::inline v0
