import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/**
 * Kafka Streams: exactly_once_v2, two threads, counts in cached in-memory stores, and no
 * repartitioning. Each task writes its totals to Redis every half second, so writing a total twice
 * is harmless. If a transaction is aborted, Redis can be ahead of it.
 */
public final class Peer implements Processor<byte[], byte[], byte[], byte[]> {
    private static final DateTimeFormatter CLOCK =
        DateTimeFormatter.ofPattern("HH:mm").withZone(ZoneOffset.UTC);
    private static final DateTimeFormatter DAY =
        DateTimeFormatter.ofPattern("yyyy-MM-dd").withZone(ZoneOffset.UTC);

    private final JsonFactory json = new JsonFactory();
    private final int redisPort;
    private final Set<String> devicesChanged = new HashSet<>();
    private final Set<String> localesChanged = new HashSet<>();
    private final Set<Long> minutesChanged = new HashSet<>();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<String, Long> devices;
    private KeyValueStore<String, Long> locales;
    private KeyValueStore<Long, Long> minutes;
    private Jedis redis;

    private Peer(int redisPort) {
        this.redisPort = redisPort;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        devices = context.getStateStore("devices");
        locales = context.getStateStore("locales");
        minutes = context.getStateStore("minutes");
        redis = new Jedis("127.0.0.1", redisPort);
        context.schedule(Duration.ofMillis(500), PunctuationType.WALL_CLOCK_TIME, now -> store());
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        String device = null;
        String locale = null;
        long second = -1;
        try (JsonParser parser = json.createParser(record.value())) {
            while (parser.nextToken() != null) {
                if (parser.currentToken() != JsonToken.FIELD_NAME) {
                    continue;
                }
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "device_type" -> device = parser.getText();
                    case "locale" -> locale = parser.getText();
                    case "timestamp" -> second = parser.getValueAsLong();
                    default -> { }
                }
            }
        } catch (IOException error) {
            throw new IllegalArgumentException(error);
        }
        count(devices, devicesChanged, device);
        count(locales, localesChanged, locale);
        count(minutes, minutesChanged, second / 60);
        context.forward(record);
    }

    private static <K> void count(KeyValueStore<K, Long> store, Set<K> changed, K key) {
        Long before = store.get(key);
        store.put(key, before == null ? 1L : before + 1);
        changed.add(key);
    }

    private void store() {
        int partition = context.taskId().partition();
        Pipeline pipeline = redis.pipelined();
        devicesChanged.forEach(value -> pipeline.hset("peer:device_type_counts:" + partition, value,
            devices.get(value).toString()));
        localesChanged.forEach(value -> pipeline.hset("peer:locale_counts:" + partition, value,
            locales.get(value).toString()));
        minutesChanged.forEach(minute -> {
            Instant at = Instant.ofEpochSecond(minute * 60);
            pipeline.hset("peer:login_counts:" + DAY.format(at) + ":" + partition, CLOCK.format(at),
                minutes.get(minute).toString());
        });
        pipeline.sync();
        devicesChanged.clear();
        localesChanged.clear();
        minutesChanged.clear();
    }

    @Override
    public void close() {
        redis.close();
    }

    private static <K> StoreBuilder<KeyValueStore<K, Long>> storeOf(String name, Serde<K> serde) {
        return Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(name), serde, Serdes.Long())
            .withCachingEnabled();
    }

    public static void main(String[] arguments) {
        int redisPort = Integer.parseInt(arguments[4]);
        Topology topology = new Topology();
        topology.addSource("logins", Serdes.ByteArray().deserializer(),
            Serdes.ByteArray().deserializer(), arguments[2]);
        topology.addProcessor("count", () -> new Peer(redisPort), "logins");
        topology.addStateStore(storeOf("devices", Serdes.String()), "count");
        topology.addStateStore(storeOf("locales", Serdes.String()), "count");
        topology.addStateStore(storeOf("minutes", Serdes.Long()), "count");
        topology.addSink("processed", arguments[3], Serdes.ByteArray().serializer(),
            Serdes.ByteArray().serializer(), "count");

        Properties properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        KafkaStreams streams = new KafkaStreams(topology, properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
