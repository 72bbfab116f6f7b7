// A producer or a member of a consumer group with the Java client: the same words as member.py.

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Member {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("consume")) {
            consume(args[1], args[2], args[3]);
        } else {
            produce(args[1], args[2], args[3].split(","), Integer.parseInt(args[4]));
        }
    }

    static void produce(String bootstrap, String topic, String[] codecs, int count) throws Exception {
        for (String codec : codecs) {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("compression.type", codec);
            settings.put("linger.ms", "5");
            StringSerializer text = new StringSerializer();
            try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, text, text)) {
                List<Future<RecordMetadata>> sent = new java.util.ArrayList<>();
                for (int n = 0; n < count; n++) {
                    sent.add(producer.send(new ProducerRecord<>(topic, "" + n, codec + "-" + n)));
                }
                for (Future<RecordMetadata> each : sent) {
                    each.get();
                }
            }
        }
        System.out.println("sent " + count);
    }

    static void consume(String bootstrap, String topic, String group) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("session.timeout.ms", "5000");
        settings.put("heartbeat.interval.ms", "300");
        settings.put("auto.commit.interval.ms", "200");
        StringDeserializer text = new StringDeserializer();
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, text, text);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join(10000);
            } catch (InterruptedException ignored) {
                Thread.currentThread().interrupt();
            }
        }));
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            }

            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                String all = consumer.assignment().stream().map(each -> each.partition()).sorted()
                    .map(String::valueOf).collect(Collectors.joining(","));
                System.out.println("assigned " + all);
            }
        });
        try {
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    System.out.println("got " + record.partition() + " " + record.offset() + " " + record.value());
                }
            }
        } catch (WakeupException stopped) {
            consumer.close();
        }
    }
}
