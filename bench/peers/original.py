"""The Python original without its sleep: a flush and a file write for every single record."""

import json
import signal
import sys
import time
from collections import defaultdict

from confluent_kafka import Consumer, Producer

THRESHOLD = 10


def main(brokers, group, input_topic, output_topic, insights_path):
    """Runs until SIGTERM."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group,
                         "auto.offset.reset": "earliest"})
    consumer.subscribe([input_topic])
    producer = Producer({"bootstrap.servers": brokers})
    devices, locales, minutes = defaultdict(int), defaultdict(int), defaultdict(int)
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            login = json.loads(message.value().decode("utf-8"))
            minute = time.strftime("%Y-%m-%d %H:%M", time.gmtime(int(login["timestamp"])))
            devices[login["device_type"]] += 1
            locales[login["locale"]] += 1
            minutes[minute] += 1
            if minutes[minute] > THRESHOLD:
                print(f"Anomaly detected: {minutes[minute]} logins at {minute}")
            producer.produce(output_topic, json.dumps(login).encode("utf-8"))
            producer.flush()
            with open(insights_path, "w") as out:
                json.dump({"Logins by Device Type": devices, "Logins by Locale": locales,
                           "Logins Over Time": minutes}, out, indent=4)
    finally:
        consumer.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(*sys.argv[1:])
