// SPDX-License-Identifier: MIT
#pragma once

#include <aster/aster.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

/// As much of an HTTP/1.1 client as a crawler needs: GET, one request a connection,
/// bodies of known length, in chunks, or up to the end of the connection. Whatever a
/// server sends, memory stays bounded and a body that is not whole is an error.
namespace http {

inline constexpr std::size_t head_max = 64 * 1024;  // Bytes of all header lines together.
inline constexpr std::size_t piece_max = 64 * 1024;

/// The server, or the URL, is not what it should be.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Makes text of a server safe to show in one line.
inline std::string printable(std::string_view text, std::size_t size_max = 100) {
  std::string shown(text.substr(0, size_max));
  std::ranges::replace_if(shown, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return text.size() > size_max ? shown + "..." : shown;
}

inline std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

inline std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

/// All of `text` as a number; nothing when it is not one.
inline std::optional<std::uint64_t> number(std::string_view text, int base = 10) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

struct Url {
  bool is_https = false;
  std::string authority;  // As in the Host header: "[::1]:8080".
  std::string host;       // "::1"
  int port = 80;
  std::string target = "/";  // Path and query.
};

/// Takes http[s]://host[:port][/path][?query] apart; Error for anything else.
inline Url parse_url(std::string_view text) {
  const bool plain =
      std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!plain) throw Error("a URL has no spaces, control or non-ASCII characters: use %XX");
  const std::size_t colon = text.find("://");
  const std::string scheme = lower(text.substr(0, colon));
  if (colon == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    throw Error("not a URL of the form http://host[:port]/path or https://…");
  }
  text.remove_prefix(colon + 3);
  text = text.substr(0, text.find('#'));

  Url url;
  url.is_https = scheme == "https";
  if (url.is_https) url.port = 443;
  const std::size_t slash = std::min(text.find_first_of("/?"), text.size());
  url.authority = text.substr(0, slash);
  url.target = text.substr(slash);
  if (!url.target.starts_with('/')) url.target.insert(0, 1, '/');
  if (url.authority.find('@') != std::string::npos) throw Error("user names are not supported");

  std::string_view host = url.authority;
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos) throw Error("the host has '[' but no ']'");
    port = host.substr(close + 1);
    host = host.substr(1, close - 1);
    if (!port.empty() && port[0] != ':') throw Error("after ']' comes ':' and a port, or nothing");
  } else {
    port = host.substr(std::min(host.find(':'), host.size()));
    host = host.substr(0, host.find(':'));
  }
  if (host.empty()) throw Error("the URL has no host");
  if (port.size() > 1) {
    const std::optional<std::uint64_t> value = number(port.substr(1));
    if (!value || *value < 1 || *value > 65535) throw Error("the port is not in 1..65535");
    url.port = static_cast<int>(*value);
  }
  url.host = host;
  return url;
}

inline std::string get_request(const Url& url) {
  return "GET " + url.target + " HTTP/1.1\r\nHost: " + url.authority +
         "\r\nUser-Agent: aster-crawler\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n";
}

/// Everything before the body.
struct Response {
  Response() = default;
  int status = 0;
  std::string reason;
  std::string location;  // Of a redirect.
  std::optional<std::uint64_t> length;
  bool chunked = false;
  bool closes = false;  // The server has said that it will close the connection.
};

/// A line without its end; `budget` is what is left of `head_max`.
inline aster::Coroutine<std::string> read_line(aster::StreamReader& reader, std::size_t& budget) {
  std::string line;
  try {
    line = co_await reader.readuntil("\n");
  } catch (const aster::LimitOverrunError&) {
    throw Error("a header line has no end");
  } catch (const aster::IncompleteReadError& error) {
    const bool nothing = budget == head_max && error.partial().empty();
    throw Error(nothing ? "connection closed without an answer" : "connection closed too early");
  }
  if (line.size() > budget) throw Error("more than 64 KiB of header");
  budget -= line.size();
  line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
  co_return line;
}

inline void parse_status(std::string_view line, Response& response) {
  const bool is_http = line.starts_with("HTTP/1.0 ") || line.starts_with("HTTP/1.1 ");
  const auto status = number(line.substr(std::min<std::size_t>(line.size(), 9), 3));
  if (!is_http || !status || *status < 100 || (line.size() > 12 && line[12] != ' ')) {
    throw Error("not an answer of HTTP/1: \"" + printable(line, 40) + '"');
  }
  response.status = static_cast<int>(*status);
  response.reason = line.size() > 13 ? line.substr(13) : "";
}

inline void parse_field(std::string_view line, Response& response) {
  const std::size_t colon = line.find(':');
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trim(colon == line.npos ? "" : line.substr(colon + 1));
  if (colon == line.npos || name.empty() || name.find_first_of(" \t") != name.npos) {
    throw Error("not a header line: \"" + printable(line, 40) + '"');
  }
  if (name == "content-length") {
    const std::optional<std::uint64_t> length = number(value);
    if (!length || (response.length && response.length != length)) {
      throw Error("impossible Content-Length: \"" + printable(value, 40) + '"');
    }
    response.length = length;
  } else if (name == "transfer-encoding") {
    if (response.chunked || lower(value) != "chunked") {
      throw Error("unknown Transfer-Encoding: \"" + printable(value, 40) + '"');
    }
    response.chunked = true;
  } else if (name == "location") {
    response.location = value;
  } else if (name == "connection") {
    response.closes = lower(value).find("close") != std::string::npos;
  }
}

/// Reads up to the empty line after the header; skips interim answers (1xx).
inline aster::Coroutine<Response> read_response(aster::StreamReader& reader) {
  std::size_t budget = head_max;
  for (;;) {
    Response response;
    std::string line = co_await read_line(reader, budget);
    parse_status(line, response);
    for (;;) {
      line = co_await read_line(reader, budget);
      if (line.empty()) break;
      parse_field(line, response);
    }
    if (response.status < 200) continue;
    if (response.chunked && response.length) {
      throw Error("both Content-Length and Transfer-Encoding");
    }
    co_return response;
  }
}

/// Gives the body piece by piece, and "" once it is whole.
///
///     for (;;) {
///       std::string piece = co_await body.read();
///       if (piece.empty()) break;
///       …
///     }
class Body {
 public:
  Body(aster::StreamReader& reader, const Response& response)
      : reader_(reader), response_(response), left_(response.length.value_or(0)) {}

  aster::Coroutine<std::string> read() {
    if (response_.chunked) return read_chunked();
    if (response_.length) return read_counted();
    return read_rest();
  }

 private:
  aster::Coroutine<std::string> read_left() {
    std::string piece = co_await reader_.read(std::min<std::uint64_t>(left_, piece_max));
    received_ += piece.size();
    left_ -= piece.size();
    if (piece.empty()) {
      std::string of = response_.chunked ? "" : " of " + std::to_string(*response_.length);
      throw Error("connection closed after " + std::to_string(received_) + of + " bytes");
    }
    co_return piece;
  }

  aster::Coroutine<std::string> read_counted() {
    if (left_ > 0) co_return co_await read_left();
    if (response_.closes) co_await expect_end();
    co_return "";
  }

  aster::Coroutine<std::string> read_rest() {
    std::string piece = co_await reader_.read(piece_max);
    co_return piece;
  }

  aster::Coroutine<std::string> read_chunked() {
    std::size_t budget = head_max - 1;  // Of the lines before this piece.
    if (left_ == 0) {
      std::string line;
      if (received_ > 0) {
        line = co_await read_line(reader_, budget);
        if (!line.empty()) throw Error("a chunk is longer than it says");
      }
      line = co_await read_line(reader_, budget);
      const auto size = number(trim(std::string_view(line).substr(0, line.find(';'))), 16);
      if (!size) throw Error("impossible chunk size: \"" + printable(line, 40) + '"');
      left_ = *size;
    }
    if (left_ > 0) co_return co_await read_left();
    std::string trailer;
    do {
      trailer = co_await read_line(reader_, budget);
    } while (!trailer.empty());
    co_return "";
  }

  /// A body longer than its Content-Length shows only after it. A server that keeps
  /// the connection open for a moment, or resets it, has sent what it promised.
  aster::Coroutine<> expect_end() {
    std::string more;
    try {
      more = co_await aster::wait_for(reader_.read(1), std::chrono::seconds(1));
    } catch (const std::exception&) {
      co_return;
    }
    if (!more.empty()) throw Error("the body is longer than its Content-Length");
  }

  aster::StreamReader& reader_;
  const Response& response_;
  std::uint64_t received_ = 0;
  std::uint64_t left_;  // Of the body or, chunked, of the present chunk.
};

}  // namespace http
