// SPDX-License-Identifier: MIT
// A chat by lines. Try, in two terminals: nc 127.0.0.1 8888
//
// The first line is your name, every further line goes to all others, /quit leaves.
// Nobody can harm anybody else:
//
//   sends a line that is too long      is told so and loses the connection
//   sends faster than `line_gap`       is read no faster, blank lines included; the rest
//                                      waits in the sender
//   gives bad names without end        is sent away after `name_tries`
//   does not read what it is sent      loses the connection at `unread_max` bytes
//   sends bytes that are no text       the others see question marks
//   goes away without a word           has left, as with /quit
#include <aster/aster.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;
using aster::Coroutine;
using aster::StreamReader;
using aster::StreamWriter;

constexpr std::size_t line_max = 1000;         // Bytes of one line.
constexpr std::size_t unread_max = 64 * 1024;  // Bytes kept for a client that reads slowly.
constexpr auto line_gap = 10ms;                // Between two lines of one client.
constexpr int name_tries = 10;
constexpr auto name_time = 60s;  // To say who you are.
constexpr auto close_time = 5s;  // To read the last words.

// Everyone who has a name. All of it happens in one thread, so there is nothing to lock.
class Room {
 public:
  bool enter(const std::string& name, StreamWriter& writer) {
    return writers_.emplace(name, &writer).second;
  }
  void leave(const std::string& name) {
    writers_.erase(name);
    tell_all_but(name, "* " + name + " has left");
  }
  [[nodiscard]] std::size_t size() const { return writers_.size(); }

  // Never waits: whoever does not keep up is dropped, so that one slow client can
  // neither hold up the others nor fill the memory.
  void tell_all_but(std::string_view sender, const std::string& line) {
    for (auto& [name, writer] : writers_) {
      if (name == sender || writer->is_closing()) continue;
      writer->write(line + "\n");
      if (writer->get_write_buffer_size() > unread_max) writer->abort();
    }
  }

 private:
  std::map<std::string, StreamWriter*> writers_;
};

// A client's place in the room: given up when this goes, however the client ends.
class Seat {
 public:
  Seat() = default;
  Seat(Room& room, std::string name) : room_(&room), name_(std::move(name)) {}
  Seat(Seat&& other) noexcept
      : room_(std::exchange(other.room_, nullptr)), name_(std::move(other.name_)) {}
  Seat& operator=(Seat&&) = delete;
  ~Seat() {
    if (room_ != nullptr) room_->leave(name_);
  }
  [[nodiscard]] bool empty() const { return room_ == nullptr; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Room* room_ = nullptr;
  std::string name_;
};

// The next line that is not blank, without its end and made safe to show; "" at the end
// of the stream. A line that is there already is read without waiting: it is the sleep
// after each that gives the others their turn.
Coroutine<std::string> read_line(StreamReader& reader) {
  std::string line;
  do {
    line = co_await reader.readline();
    if (line.empty()) co_return line;
    co_await aster::sleep(line_gap);
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  } while (line.empty());
  std::ranges::replace_if(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  co_return line;
}

bool is_name(const std::string& text) {
  return text.size() <= 20 && std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_' || c == '-';
         });
}

// Asks until the client has given a name that is free; an empty seat when it goes away
// or has had its tries.
Coroutine<Seat> find_seat(Room& room, StreamReader& reader, StreamWriter& writer) {
  writer.write("Your name?\n");
  for (int tries = 0; tries < name_tries; ++tries) {
    std::string name = co_await read_line(reader);
    if (name.empty() || name == "/quit") co_return Seat();
    if (is_name(name) && room.enter(name, writer)) co_return Seat(room, name);
    writer.write("Taken, too long, or not made of letters, digits, - and _. Another one?\n");
    co_await writer.drain();
  }
  writer.write("That was the last one. Bye.\n");
  co_return Seat();
}

Coroutine<> talk(Room& room, const std::string& name, StreamReader& reader) {
  for (;;) {
    std::string line = co_await read_line(reader);
    if (line.empty() || line == "/quit") break;
    room.tell_all_but(name, name + ": " + line);
  }
}

// One client, from its connection to its end. Its errors end here: they are nobody else's.
Coroutine<> chat(Room& room, StreamReader reader, StreamWriter writer) {
  try {
    Seat seat = co_await aster::wait_for(find_seat(room, reader, writer), name_time);
    if (!seat.empty()) {
      writer.write("Hello " + seat.name() + ", " + std::to_string(room.size()) + " here.\n");
      room.tell_all_but(seat.name(), "* " + seat.name() + " is here");
      co_await talk(room, seat.name(), reader);
    }
  } catch (const aster::ValueError&) {
    writer.write("That line is too long. Bye.\n");
  } catch (const std::exception&) {
    // No name in time, or the connection broke: as if the client had left.
  }
  writer.close();
  try {
    co_await aster::wait_for(writer.wait_closed(), close_time);
  } catch (const std::exception&) {
    writer.abort();
  }
}

Coroutine<> serve(Room& room, int port) {
  auto welcome = [&room](StreamReader reader, StreamWriter writer) {
    return chat(room, std::move(reader), std::move(writer));
  };
  aster::Server server =
      co_await aster::start_server(welcome, "127.0.0.1", port, {.limit = line_max});
  std::cout << "listening on " << server.sockets().front().getsockname().str() << std::endl;
  co_await server.serve_forever();
}

int main(int argc, char** argv) {
  Room room;  // Outlives the clients, which may outlive `serve`.
  return aster::main(serve(room, argc > 1 ? std::atoi(argv[1]) : 8888));
}
